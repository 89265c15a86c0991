#include "seccomp/turns.hpp"

#include <algorithm>

namespace seccomp {

ring::Task<bool> Turns::wait(std::uint64_t sharer, pid_t thread, Turn& turn) {
  Line& line = lines_[sharer];
  if (line.busy < at_once_) {
    ++line.busy;
  } else {
    auto old = std::find_if(line.waiting.begin(), line.waiting.end(),
                            [thread](const Waiter* one) { return one->thread == thread; });
    if (old != line.waiting.end()) {
      (*old)->superseded = true;
      (*old)->woken.fire();
      line.waiting.erase(old);
    }
    Waiter waiter(reactor_, thread);
    line.waiting.push_back(&waiter);
    co_await waiter.woken.wait();
    if (waiter.superseded) co_return false;
  }
  turn.of_ = this;
  turn.sharer_ = sharer;
  co_return true;
}

// The next one takes the turn over.
void Turns::end(std::uint64_t sharer) {
  auto found = lines_.find(sharer);
  Line& line = found->second;
  if (line.waiting.empty()) {
    if (--line.busy == 0) lines_.erase(found);
    return;
  }
  Waiter* next = line.waiting.front();
  line.waiting.pop_front();
  next->woken.fire();
}

}  // namespace seccomp
