#include "seccomp/one_by_one.hpp"

#include <algorithm>

namespace seccomp {

ring::Task<bool> OneByOne::wait(pid_t process, pid_t thread, Turn& turn) {
  auto [line, first] = busy_.try_emplace(process);
  if (!first) {
    auto old = std::find_if(line->second.begin(), line->second.end(),
                            [thread](const Waiter* one) { return one->thread == thread; });
    if (old != line->second.end()) {
      (*old)->superseded = true;
      (*old)->woken.fire();
      line->second.erase(old);
    }
    Waiter waiter(reactor_, thread);
    line->second.push_back(&waiter);
    co_await waiter.woken.wait();
    if (waiter.superseded) co_return false;
  }
  turn.of_ = this;
  turn.process_ = process;
  co_return true;
}

// The next one takes the turn over.
void OneByOne::end(pid_t process) {
  auto line = busy_.find(process);
  if (line->second.empty()) {
    busy_.erase(line);
    return;
  }
  Waiter* next = line->second.front();
  line->second.pop_front();
  next->woken.fire();
}

}  // namespace seccomp
