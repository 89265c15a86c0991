// Owns: SIGCHLD of the process, and the waiting for threads that we trace. Called by: the injector.
// Never: blocks in waitpid, or waits for anybody's children but the threads it was given: others of
// this process wait for theirs by a pidfd. One a process.
#pragma once
#include <coroutine>
#include <csignal>
#include <optional>
#include <set>

#include "base/fd.hpp"
#include "ring/reactor.hpp"

namespace seccomp {

class Stops;

/// One thread that we trace, from PTRACE_SEIZE to its detaching or its end.
class Traced {
 public:
  Traced(Stops& stops, pid_t tid);
  ~Traced();
  Traced(const Traced&) = delete;
  Traced& operator=(const Traced&) = delete;

  /// The next wait status. Nothing: the thread has ended, or its number belongs to another one.
  /// To be awaited as `co_await traced.next()`, by one at a time.
  struct Next {
    Traced& traced;
    bool await_ready() const { return traced.look(); }
    void await_suspend(std::coroutine_handle<> waiter) const { traced.waiter_ = waiter; }
    std::optional<int> await_resume() const;
  };
  Next next() { return Next{*this}; }
  /// It is ours from now on.
  void begin() { begun_ = true; }
  /// No ptrace call may be made any more: the number may be somebody else's.
  bool over() const { return over_; }
  /// Asks the kernel; true: next() has something.
  bool look();
  /// Whether the number is still that of the thread; false from then on, as over() is true.
  bool is_ours();
  pid_t tid() const { return tid_; }

 private:
  friend class Stops;
  Stops& stops_;
  const pid_t tid_;
  std::optional<int> status_;
  bool begun_ = false, over_ = false;
  std::coroutine_handle<> waiter_;
};

class Stops {
 public:
  explicit Stops(ring::Reactor& reactor);
  ~Stops();
  Stops(const Stops&) = delete;
  Stops& operator=(const Stops&) = delete;
  std::size_t traced() const { return all_.size(); }
  ring::Reactor& reactor() { return reactor_; }

 private:
  friend class Traced;
  void on_signal();
  void look_at_all();
  void look_again();
  ring::Reactor& reactor_;
  sigset_t before_{};
  base::Fd signals_;
  ring::Watch watch_;
  ring::Timer again_;
  bool ticking_ = false;
  std::set<Traced*> all_;
};

}  // namespace seccomp
