// Owns: the histogram in which times are counted. Called by: fusefs (one for each operation of a
// mount that was used), daemon/status and daemon/metrics_text. Never: grows with what it is told,
// or keeps a single time: 110 counters, whatever comes.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace base::metrics {

/// Times in log-linear buckets, as HDR histograms have them: four a power of two, so that a bucket
/// is at most a quarter wider than it begins. From 1 µs to 137 s; what is shorter is in the first
/// bucket, what is longer in the last.
class Histogram {
 public:
  static constexpr int kFirstPower = 10;  // 1,024 ns
  static constexpr int kLastPower = 37;   // 137 s
  static constexpr std::size_t kPerPower = 4;
  /// Below the first power, four for each, above the last.
  static constexpr std::size_t kBuckets = 2 + (kLastPower - kFirstPower) * kPerPower;

  /// O(1). A negative time counts as none.
  void record(std::int64_t nanoseconds) {
    std::uint64_t ns = nanoseconds > 0 ? static_cast<std::uint64_t>(nanoseconds) : 0;
    ++counts_[bucket_of(ns)];
    sum_ns_ += ns;
    if (ns > max_ns_) max_ns_ = ns;
  }
  void merge(const Histogram& other);

  std::uint64_t count() const;
  std::uint64_t sum_ns() const { return sum_ns_; }
  std::uint64_t max_ns() const { return max_ns_; }
  /// The time below which the share `q` (0..1) of all lies: the upper edge of the bucket where that
  /// is reached, at most the longest time seen. 0 if there is none.
  std::uint64_t quantile_ns(double q) const;
  /// How many took less than `nanoseconds`, which must be an edge (edge_ns).
  std::uint64_t below(std::uint64_t nanoseconds) const;

  static std::size_t bucket_of(std::uint64_t ns);
  /// Where the bucket ends: times in it are shorter. The last has no end.
  static std::uint64_t edge_ns(std::size_t bucket);
  std::span<const std::uint64_t> counts() const { return counts_; }

 private:
  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t sum_ns_ = 0;
  std::uint64_t max_ns_ = 0;
};

inline std::size_t Histogram::bucket_of(std::uint64_t ns) {
  if (ns < 1ull << kFirstPower) return 0;
  if (ns >= 1ull << kLastPower) return kBuckets - 1;
  int power = 63 - __builtin_clzll(ns);
  std::size_t quarter = ns >> (power - 2) & (kPerPower - 1);
  return 1 + static_cast<std::size_t>(power - kFirstPower) * kPerPower + quarter;
}

}  // namespace base::metrics
