// Owns: the random numbers of property tests. Called by: tests.
// Never: hides its seed: every failure prints SEED=..., and UNI_SEED=N repeats it.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>

namespace testing_random {

class Gen {
 public:
  explicit Gen(std::uint64_t seed) : engine_(seed) {}
  std::uint32_t below(std::uint32_t end) {
    return std::uniform_int_distribution<std::uint32_t>(0, end - 1)(engine_);
  }
  /// Ids as containers have them: small ones, ones of the window, nobody, and any of 2^32-1.
  std::uint32_t id() {
    switch (below(6)) {
      case 0: return below(20);
      case 1: return below(2100);
      case 2: return 1000 + below(1100);
      case 3: return 65500 + below(100);
      case 4: return 100000 + below(5000);
      default: return below(0xFFFFFFFF);
    }
  }

 private:
  std::mt19937_64 engine_;
};

inline std::uint64_t seed() {
  char const* const given = std::getenv("UNI_SEED");
  static std::uint64_t const chosen =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  return chosen;
}

/// Runs `body(gen)` `rounds` times, each with a seed of its own derived from seed().
template <class Body>
void for_all(int rounds, Body body) {
  for (int i = 0; i < rounds && !::testing::Test::HasFatalFailure(); ++i) {
    SCOPED_TRACE("SEED=" + std::to_string(seed()) + " round " + std::to_string(i));
    Gen gen(seed() + static_cast<std::uint64_t>(i));
    body(gen);
  }
}

}  // namespace testing_random
