// Owns: turns, one at a time for each process. Called by: the injector, for calls that change the
// memory of their process. Never: keeps two waiters for one thread: a thread waits in one call
// only, so the older one is told that nobody wants its work any more.
#pragma once
#include <sys/types.h>

#include <list>
#include <map>
#include <utility>

#include "ring/reactor.hpp"
#include "ring/task.hpp"

namespace seccomp {

class OneByOne {
 public:
  explicit OneByOne(ring::Reactor& reactor) : reactor_(reactor) {}
  OneByOne(const OneByOne&) = delete;
  OneByOne& operator=(const OneByOne&) = delete;

  /// Ends when destroyed.
  class Turn {
   public:
    Turn() = default;
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
      if (of_) of_->end(process_);
    }

   private:
    friend class OneByOne;
    OneByOne* of_ = nullptr;
    pid_t process_ = 0;
  };
  /// True: it is the caller's turn. False: another one has come for the same thread.
  ring::Task<bool> wait(pid_t process, pid_t thread, Turn& turn);

 private:
  struct Waiter {
    Waiter(ring::Reactor& reactor, pid_t thread_) : thread(thread_), woken(reactor) {}
    const pid_t thread;
    bool superseded = false;
    ring::Event woken;
  };
  void end(pid_t process);
  ring::Reactor& reactor_;
  std::map<pid_t, std::list<Waiter*>> busy_;  // by process, who waits
};

}  // namespace seccomp
