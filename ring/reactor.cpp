#include "ring/reactor.hpp"

namespace ring {

void OpAwait::await_suspend(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  reactor_.start(op_, this);
}

void OpAwait::complete(int result, bool) {
  result_ = result;
  waiter_.resume();
}

void Yield::await_suspend(std::coroutine_handle<> waiter) {
  reactor_.defer([waiter] { waiter.resume(); });
}

void Event::fire() {
  fired_ = true;
  for (auto waiter : waiters_) reactor_.defer([waiter] { waiter.resume(); });
  waiters_.clear();
}

// Lives until the kernel has said that the poll is over, which may be after the Watch is gone.
struct Watch::State final : Completion {
  Reactor* reactor = nullptr;
  int fd = -1;
  unsigned events = 0;
  bool dropped = false;
  bool armed = false;
  bool near = false;
  std::function<void(int)> on_ready;

  void complete(int result, bool more) override {
    if (near) {
      if (!dropped) on_ready(result);
      return;
    }
    armed = more;
    if (dropped) {
      if (!more) {
        reactor->dropped_.erase(this);
        delete this;
      }
      return;
    }
    // A multishot poll may end by itself (queue overflow): what remains true is reported again on
    // re-arming.
    if (!more && result >= 0) {
      armed = true;
      reactor->engine_->watch(fd, events, this);
    }
    on_ready(result);
  }
};

void Watch::Drop::operator()(State* state) const {
  state->dropped = true;
  Reactor* reactor = state->reactor;
  if (state->near) {
    reactor->engine_->unwatch_near(state);
    reactor->dropped_.insert(state);
    reactor->defer([reactor, state] {  // after what is queued of it
      reactor->dropped_.erase(state);
      delete state;
    });
  } else if (state->armed) {
    reactor->dropped_.insert(state);
    reactor->engine_->cancel(state);
  } else {
    delete state;
  }
}

Watch& Watch::operator=(Watch&&) noexcept = default;
Watch::~Watch() = default;

Reactor::Reactor(std::unique_ptr<Engine> engine)
    : engine_(std::move(engine)), timers_(std::make_unique<Timers>(*engine_)) {
  for (unsigned slot = engine_->file_slots(); slot > 0; --slot)
    free_slots_.push_back(static_cast<int>(slot) - 1);
}

int Reactor::take_file_slot() {
  if (free_slots_.empty()) return -1;
  const int slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

base::Checked<std::unique_ptr<Reactor>> Reactor::make(unsigned entries) {
  TRY(engine, Engine::make(entries));
  return std::unique_ptr<Reactor>(new Reactor(std::move(engine)));
}

// Nothing completes any more once the ring is gone.
Reactor::~Reactor() {
  engine_.reset();
  for (Watch::State* state : dropped_) delete state;
}

Watch::State* Reactor::make_state(int fd, unsigned events, std::function<void(int)> on_ready) {
  auto* state = new Watch::State;
  state->reactor = this;
  state->fd = fd;
  state->events = events;
  state->on_ready = std::move(on_ready);
  return state;
}

Watch Reactor::watch_near(int fd, unsigned events, std::function<void(int)> on_ready) {
  Watch::State* state = make_state(fd, events, std::move(on_ready));
  state->near = true;
  if (engine_->watch_near(fd, events, state)) return Watch(state);
  delete state;
  return {};
}

Watch Reactor::watch(int fd, unsigned events, std::function<void(int)> on_ready) {
  Watch::State* state = make_state(fd, events, std::move(on_ready));
  state->armed = true;
  engine_->watch(fd, events, state);
  return Watch(state);
}

void Reactor::turn() {
  engine_->wait(ready_.empty());
  engine_->reap([this](Completion* completion, int result, bool more) {
    ready_.push_back([completion, result, more] { completion->complete(result, more); });
  });
  // Only what is queued now: work that defers itself must not keep the ring from being looked at.
  for (std::size_t n = ready_.size(); n > 0; --n) {
    auto work = std::move(ready_.front());
    ready_.pop_front();
    work();
  }
}

void Reactor::run() {
  while (!stopping_ || !ready_.empty() || !dropped_.empty()) turn();
}

}  // namespace ring
