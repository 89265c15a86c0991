#include "base/metrics.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace base::metrics {

std::uint64_t Histogram::edge_ns(std::size_t bucket) {
  if (bucket >= kBuckets - 1) return std::numeric_limits<std::uint64_t>::max();
  int power = kFirstPower + static_cast<int>(bucket / kPerPower);
  return (kPerPower + bucket % kPerPower) << (power - 2);
}

void Histogram::merge(const Histogram& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  sum_ns_ += other.sum_ns_;
  max_ns_ = std::max(max_ns_, other.max_ns_);
}

std::uint64_t Histogram::count() const {
  return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

std::uint64_t Histogram::quantile_ns(double q) const {
  std::uint64_t all = count();
  if (all == 0) return 0;
  double wanted = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(all));
  std::uint64_t rank = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1, all);
  std::size_t bucket = 0;
  for (std::uint64_t seen = counts_[0]; seen < rank; seen += counts_[bucket]) ++bucket;
  return std::min(edge_ns(bucket), max_ns_);
}

std::uint64_t Histogram::below(std::uint64_t nanoseconds) const {
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets && edge_ns(i) <= nanoseconds; ++i) seen += counts_[i];
  return seen;
}

}  // namespace base::metrics
