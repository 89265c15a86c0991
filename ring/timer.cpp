#include "ring/timer.hpp"

#include <time.h>

#include <utility>

namespace ring {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

std::int64_t now() {
  timespec ts;
  ::clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * kSecond + ts.tv_nsec;
}

}  // namespace

// One timeout in the kernel. It lives until the kernel is done with it.
struct Timers::Wake final : Completion {
  Timers* timers = nullptr;
  std::int64_t due = 0;
  __kernel_timespec at{};
  void complete(int, bool) override { timers->woken(this); }
};

Timer& Timer::operator=(Timer&& other) noexcept {
  if (this == &other) return *this;
  cancel();
  timers_ = std::exchange(other.timers_, nullptr);
  due_ = other.due_;
  number_ = other.number_;
  return *this;
}

void Timer::cancel() {
  if (auto* timers = std::exchange(timers_, nullptr)) timers->waiting_.erase({due_, number_});
}

Timers::~Timers() {
  for (Wake* wake : wakes_) delete wake;
}

Timer Timers::add(std::uint32_t milliseconds, std::function<void()> work) {
  std::int64_t due = now() + milliseconds * (kSecond / 1000);
  std::uint64_t number = next_++;
  waiting_.emplace(std::pair(due, number), std::move(work));
  arm();
  return Timer(this, due, number);
}

// A timeout that is armed already is left alone even if its reason is gone: it wakes us for nothing
// once, which is cheaper than to take it back.
void Timers::arm() {
  if (waiting_.empty() || waiting_.begin()->first.first >= armed_) return;
  auto* wake = new Wake;
  wakes_.insert(wake);
  wake->timers = this;
  wake->due = armed_ = waiting_.begin()->first.first;
  wake->at = {.tv_sec = armed_ / kSecond, .tv_nsec = armed_ % kSecond};
  engine_.timeout(&wake->at, wake);
}

void Timers::woken(Wake* wake) {
  if (wake->due == armed_) armed_ = INT64_MAX;
  wakes_.erase(wake);
  delete wake;
  // What is added meanwhile waits for the next round, however short its time is.
  const std::int64_t time = now();
  const std::uint64_t end = next_;
  while (!waiting_.empty()) {
    auto first = waiting_.begin();
    if (first->first.first > time || first->first.second >= end) break;
    auto work = std::move(waiting_.extract(first).mapped());
    work();
  }
  arm();
}

}  // namespace ring
