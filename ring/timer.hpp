// Owns: what is to be done later, in the order of time. Called by: the Reactor, and through
// Reactor::after whoever waits for time. Never: costs the kernel a timer for each of ours: one
// timeout of the ring stands for the earliest, so a hundred connections with a deadline each cost
// nothing while they are served.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "ring/engine.hpp"

namespace ring {

class Timers;

/// Something that will be called once; not any more when this is destroyed or assigned to. What is
/// called may destroy or replace its own Timer: periodic work arms itself again. Must not outlive
/// the Reactor.
class Timer {
 public:
  Timer() = default;
  Timer(Timer&& other) noexcept { *this = std::move(other); }
  Timer& operator=(Timer&& other) noexcept;
  ~Timer() { cancel(); }
  void cancel();

 private:
  friend class Timers;
  Timer(Timers* timers, std::int64_t due, std::uint64_t number)
      : timers_(timers), due_(due), number_(number) {}
  Timers* timers_ = nullptr;
  std::int64_t due_ = 0;
  std::uint64_t number_ = 0;
};

class Timers {
 public:
  explicit Timers(Engine& engine) : engine_(engine) {}
  ~Timers();
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  /// `milliseconds` from now, by CLOCK_MONOTONIC.
  Timer add(std::uint32_t milliseconds, std::function<void()> work);

 private:
  friend class Timer;
  struct Wake;
  void arm();
  void woken(Wake* wake);
  Engine& engine_;
  std::map<std::pair<std::int64_t, std::uint64_t>, std::function<void()>> waiting_;  // by due time
  std::uint64_t next_ = 0;
  std::set<Wake*> wakes_;  // timeouts in the kernel: the earliest, and ones that came too late
  std::int64_t armed_ = INT64_MAX;
};

}  // namespace ring
