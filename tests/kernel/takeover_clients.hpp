// Owns: a client that uses a directory in every way and knows what it must find there. Called by:
// takeover_test, in processes of their own. Never: touches anything outside its directory, but for
// listing `big`.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace kernel_test {

class Client {
 public:
  Client(std::string dir, std::string big, std::size_t big_names, std::uint64_t seed)
      : dir_(std::move(dir)), big_(std::move(big)), big_names_(big_names), random_(seed) {}
  /// Random operations for so long; "" or the first thing that was not as it had to be.
  std::string play(int milliseconds);
  /// The whole directory against what is remembered.
  std::string check();
  std::size_t operations() const { return operations_; }

 private:
  struct File {
    std::string content;
    std::string mark;  // user.mark; "": none
  };
  using Found = std::map<std::string, std::shared_ptr<File>>::iterator;
  std::size_t below(std::size_t limit) { return random_() % limit; }
  std::string any_name();
  std::string any_text();
  std::string path(const std::string& name) const { return dir_ + "/" + name; }
  void expect(const std::string& what, const std::string& got, const std::string& wanted);
  void step();
  void create(const std::string& name);
  void write_at(const std::string& name);
  void rename(const std::string& name);
  void unlink(const std::string& name);
  void link(const std::string& name);
  void read(const std::string& name);
  void truncate(const std::string& name);
  void mark(const std::string& name);
  void unlink_open(const std::string& name);
  void unnamed(const std::string& name);
  void directory();
  void symlink();
  void list_own();
  void list_big();

  std::string dir_, big_;
  std::size_t big_names_;
  std::mt19937_64 random_;
  std::map<std::string, std::shared_ptr<File>> files_;
  std::string wrong_;
  std::size_t operations_ = 0;
};

}  // namespace kernel_test
