// Owns: nothing. Called by: whoever takes a time. Never: sleeps, or asks the wall clock: these
// times are differences, and a clock that is set back must not make one negative.
#pragma once
#include <time.h>

#include <cstdint>

namespace base {

/// Nanoseconds since some moment before the start of the process; about 20 ns a call (vDSO).
inline std::int64_t monotonic_ns() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000ll + now.tv_nsec;
}

/// The same clock in whole seconds, a few milliseconds old, for less than half the price.
inline std::uint64_t monotonic_seconds() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<std::uint64_t>(now.tv_sec);
}

}  // namespace base
