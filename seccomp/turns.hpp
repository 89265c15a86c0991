// Owns: turns, so many at a time for each of those who share something. Called by: the injector
// (one call of a process that changes its memory), Tracees (so many operations of a container that
// may wait for ever). Never: keeps two waiters for one thread: a thread waits in one call only, so
// the older one is told that nobody wants its work any more.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <list>
#include <map>

#include "ring/reactor.hpp"
#include "ring/task.hpp"

namespace seccomp {

class Turns {
 public:
  Turns(ring::Reactor& reactor, unsigned at_once) : reactor_(reactor), at_once_(at_once) {}
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  /// Ends when destroyed.
  class Turn {
   public:
    Turn() = default;
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
      if (of_) of_->end(sharer_);
    }

   private:
    friend class Turns;
    Turns* of_ = nullptr;
    std::uint64_t sharer_ = 0;
  };
  /// True: it is the caller's turn. False: another one has come for the same thread.
  ring::Task<bool> wait(std::uint64_t sharer, pid_t thread, Turn& turn);

 private:
  struct Waiter {
    Waiter(ring::Reactor& reactor, pid_t thread_) : thread(thread_), woken(reactor) {}
    const pid_t thread;
    bool superseded = false;
    ring::Event woken;
  };
  struct Line {
    unsigned busy = 0;
    std::list<Waiter*> waiting;
  };
  void end(std::uint64_t sharer);
  ring::Reactor& reactor_;
  const unsigned at_once_;
  std::map<std::uint64_t, Line> lines_;
};

}  // namespace seccomp
