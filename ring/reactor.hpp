// Owns: the one thread's waiting. Called by: daemon/ (run), fusefs and seccomp (await, watch).
// Never: runs a handler while reaping: completions are queued first and run later, so nothing
// recurses.
#pragma once
#include <coroutine>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "base/result.hpp"
#include "ring/engine.hpp"
#include "ring/timer.hpp"

namespace ring {

class Reactor;

/// Awaits one ring operation; resumes with the kernel's result (>= 0, or -errno).
class OpAwait final : public Completion {
 public:
  OpAwait(Reactor& reactor, Op op) : reactor_(reactor), op_(op) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter);
  int await_resume() const noexcept { return result_; }
  void complete(int result, bool more) override;

 private:
  Reactor& reactor_;
  Op op_;
  std::coroutine_handle<> waiter_;
  int result_ = 0;
};

/// Calls back each time a descriptor becomes readable (or gets `events`). Ends when destroyed.
class Watch {
 public:
  Watch() = default;
  Watch(Watch&&) noexcept = default;
  Watch& operator=(Watch&&) noexcept;
  ~Watch();
  explicit operator bool() const { return state_ != nullptr; }

 private:
  friend class Reactor;
  struct State;
  explicit Watch(State* state) : state_(state) {}
  struct Drop {
    void operator()(State* state) const;
  };
  std::unique_ptr<State, Drop> state_;
};

/// Waiters for something that happens once. fire() resumes them from the reactor's queue.
/// To be awaited as `co_await event.wait()`: g++ 12 may copy an awaited object that has a name, and
/// who waited in the copy of an Event waited for ever.
class Event {
 public:
  struct Wait {
    Event& event;
    bool await_ready() const noexcept { return event.fired_; }
    void await_suspend(std::coroutine_handle<> waiter) { event.waiters_.push_back(waiter); }
    void await_resume() const noexcept {}
  };
  explicit Event(Reactor& reactor) : reactor_(reactor) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void fire();
  bool fired() const { return fired_; }
  Wait wait() { return Wait{*this}; }

 private:
  Reactor& reactor_;
  bool fired_ = false;
  std::vector<std::coroutine_handle<>> waiters_;
};

/// Resumes after what is queued already, and after a look at what has come in meanwhile.
class Yield {
 public:
  explicit Yield(Reactor& reactor) : reactor_(reactor) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter);
  void await_resume() const noexcept {}

 private:
  Reactor& reactor_;
};

class Reactor {
 public:
  /// For the calling thread, which must be the one that calls run().
  static base::Checked<std::unique_ptr<Reactor>> make(unsigned entries = 256);

  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  /// Serves until stop() was called and the queue is empty.
  void run();
  void stop() { stopping_ = true; }
  /// One round of run(): waits for a completion if nothing is queued, then runs what is. For those
  /// who drive the loop themselves, as the tests and the fuzzer do.
  void turn();
  /// `on_ready` gets the poll events; it must take all there is (the poll is an edge), or defer
  /// itself. A negative value is the -errno with which the kernel ended the watch.
  [[nodiscard]] Watch watch(int fd, unsigned events, std::function<void(int)> on_ready);
  /// The same for who is waited for by a task that gives us its processor for the time of our
  /// answer, as seccomp's SYNC_WAKE_UP does: cheaper for it, dearer for all others, so only while
  /// it is busy. `on_ready` need not take all there is; 0 tells it that nothing has come for long.
  /// Empty: not possible now.
  [[nodiscard]] Watch watch_near(int fd, unsigned events, std::function<void(int)> on_ready);
  /// An operation which may block, on a kernel worker.
  OpAwait operation(Op op) { return OpAwait(*this, op); }
  /// The same for a Completion of the caller's own.
  void start(const Op& op, Completion* completion) {
    ++deferred_;
    engine_->start(op, completion);
  }
  /// For Chain and FileSlot; -1: no slot is free.
  void reserve(unsigned entries) { engine_->reserve(entries); }
  int take_file_slot();
  void give_file_slot(int slot) { free_slots_.push_back(slot); }
  /// Calls `work` once, so many milliseconds from now, unless the Timer is gone by then.
  [[nodiscard]] Timer after(std::uint32_t milliseconds, std::function<void()> work) {
    return timers_->add(milliseconds, std::move(work));
  }
  /// Runs `work` from the queue, after what is queued already.
  void defer(std::function<void()> work) { ready_.push_back(std::move(work)); }
  /// For a handler with much to do: `co_await reactor.yield()` lets others have their turn.
  Yield yield() { return Yield(*this); }
  /// See Engine::set_spin.
  void set_spin(unsigned microseconds) { engine_->set_spin(microseconds); }
  /// Operations that went to the ring since the start (the others completed inline).
  std::uint64_t deferred_operations() const { return deferred_; }
  EngineState engine_state() const { return engine_->state(); }

 private:
  friend class Watch;
  friend struct Watch::State;
  friend struct Watch::Drop;
  explicit Reactor(std::unique_ptr<Engine> engine);
  Watch::State* make_state(int fd, unsigned events, std::function<void(int)> on_ready);
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Timers> timers_;
  std::deque<std::function<void()>> ready_;
  bool stopping_ = false;
  std::set<Watch::State*> dropped_;  // not watched any more, but may still be told
  std::uint64_t deferred_ = 0;
  std::vector<int> free_slots_;
};

}  // namespace ring
