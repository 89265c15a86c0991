// Owns: a process with a filter of its own whose calls a test answers, and the loop that does so.
// Called by: the tests of tests/supervise. Never: outlives its test, or waits for more than
// a minute.
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "ring/reactor.hpp"
#include "seccomp/injection.hpp"
#include "seccomp/notice.hpp"
#include "seccomp/tracee.hpp"

namespace supervise_test {

/// How a tracee is started.
struct Start {
  std::vector<int> calls;  // which are notified, whatever the architecture
  bool killable = false;   // WAIT_KILLABLE_RECV
  std::string map;         // of its own user namespace; "": ours
};

/// The pool of the tests: 0, 1..1999 and the two nobodies.
inline constexpr char kPool[] = "0 0 1\n1 1001 1999\n65534 3000 2\n";
/// What 60000 is in it.
inline constexpr unsigned kSlot = 1633;

/// Loads a filter for the caller; its listener, or -errno.
int load_filter(const std::vector<int>& calls, unsigned flags);

class Rig {
 public:
  /// What shall become of a call.
  using Decide = std::function<ring::Task<seccomp::Answer>(Rig&, seccomp::Notice)>;

  Rig();
  ~Rig();
  /// Runs `body` in a child and answers its calls until all who have its filter are gone. Its exit
  /// status, or minus the signal that has killed it.
  int run(const Start& start, std::function<int()> body, Decide decide);
  /// The steps of it.
  void begin(const Start& start, std::function<int()> body);
  void serve(Decide decide);
  int end();

  /// Lets the call run again.
  ring::Task<seccomp::Answer> again(seccomp::Notice notice, seccomp::Rerun rerun);
  bool still_valid(std::uint64_t id) const;

  std::unique_ptr<ring::Reactor> reactor;
  seccomp::Tracees tracees;
  seccomp::Injector injector;
  std::vector<seccomp::Ran> ran;  // of all that were run again
  std::vector<seccomp::Notice> notices;
  unsigned resumed = 0, restarted = 0, begun = 0, ended = 0;
  /// Called before each notification is handled.
  std::function<void(const seccomp::Notice&)> on_notice;
  /// The same for one that is to be answered "continue", and before one is received.
  std::function<void(const seccomp::Notice&)> on_resume;
  std::function<void()> on_poll;
  /// The child of another rig, in another process.
  void adopt(const Rig& other);
  /// Sends error -512.
  void restart(std::uint64_t id) { send(id, seccomp::Answer::fail(512)); }
  pid_t child = -1;

 private:
  void take();
  void handle(seccomp::Notice notice);
  ring::Task<void> answer(seccomp::Notice notice);
  int send(std::uint64_t id, const seccomp::Answer& answer);
  base::Fd listener_;
  ring::Watch watch_;
  Decide decide_;
  bool killable_ = false, hung_up_ = false;
  unsigned open_ = 0;  // answers under way
};

/// Runs the set*id call again with 60000 replaced by its slot.
ring::Task<seccomp::Answer> to_slot(Rig& rig, seccomp::Notice notice);
/// Runs setgroups again with other groups, in the task's own memory while it runs.
ring::Task<seccomp::Answer> other_groups(Rig& rig, seccomp::Notice notice);

/// Memory that a test shares with its children.
void* shared_bytes(std::size_t size);
template <class T>
T& shared() {
  return *new (shared_bytes(sizeof(T))) T();
}

/// A line of /proc/TID/status.
std::string status_line(pid_t tid, const std::string& key);

}  // namespace supervise_test
