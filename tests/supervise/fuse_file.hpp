// Owns: a FUSE mount with one file, served by the reactor that answers the calls of the test, as
// the daemon does. Called by: the tests of tests/supervise. Never: is touched by the test itself:
// that would wait for itself.
#pragma once
#include <linux/fuse.h>

#include <functional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "ring/reactor.hpp"

namespace supervise_test {

class FuseFile {
 public:
  FuseFile(ring::Reactor& reactor, std::string content);
  ~FuseFile();
  FuseFile(const FuseFile&) = delete;
  FuseFile& operator=(const FuseFile&) = delete;
  std::string path() const { return dir_ + "/data"; }
  /// Reads wait until release() from now on; `on_read` is told of each.
  void hold(std::function<void()> on_read);
  void release();
  unsigned reads = 0;

 private:
  void serve();
  void answer(const fuse_in_header& request, const char* body);
  void read(std::uint64_t unique, const fuse_read_in& wanted);
  void reply(std::uint64_t unique, int error, const void* body = nullptr, std::size_t size = 0);
  std::string content_, dir_;
  base::Fd device_;
  ring::Watch watch_;
  std::function<void()> on_read_;
  bool held_ = false;
  std::vector<std::pair<std::uint64_t, fuse_read_in>> waiting_;
};

}  // namespace supervise_test
