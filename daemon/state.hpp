// Owns: the daemon's own ledger: a memfd which tells a successor what mounts there are. Called by:
// recovery. Never: is half written: a line counts when the length says so, and that is one store.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "daemon/protocol.hpp"

namespace serving {

class State {
 public:
  /// In the first page. What a daemon adds up over its successors stands here, not in a line.
  struct Head {
    char magic[8];
    std::uint32_t version;
    std::uint32_t unused;
    std::atomic<std::uint64_t> span;  // first page of the lines << 32 | their bytes
    std::uint64_t last_id;
    std::uint64_t restarts, mounts_lost, requests_lost;
    std::uint64_t attempt, attempts;  // the mount being rebuilt, and how often that was tried
  };

  static base::Checked<std::unique_ptr<State>> create();
  /// What a daemon of any build has left; refused when it is of another version.
  static base::Checked<std::unique_ptr<State>> adopt(base::Fd memory);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  int fd() const { return memory_.get(); }
  Head& head() { return *head_; }
  /// The mounts by number, as they were asked for.
  const std::map<std::uint64_t, Json>& mounts() const { return mounts_; }
  void add(std::uint64_t id, Json mount);
  void remove(std::uint64_t id);

 private:
  explicit State(base::Fd memory) : memory_(std::move(memory)) {}
  base::Checked<base::Unit> map();
  base::Checked<base::Unit> read();
  void append(const std::string& line);
  void compact();

  base::Fd memory_;
  Head* head_ = nullptr;
  std::map<std::uint64_t, Json> mounts_;
};

}  // namespace serving
