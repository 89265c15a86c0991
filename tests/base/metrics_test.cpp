#include "base/metrics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "base/clock.hpp"

namespace base::metrics {
namespace {

TEST(Histogram, EveryTimeIsBelowItsEdgeAndNotBelowTheOneBefore) {
  std::vector<std::uint64_t> times = {0, 1, 1023, 1024, 1279, 1280, 1u << 20};
  for (int power = 0; power < 64; ++power)
    for (std::uint64_t near : {-1, 0, 1}) times.push_back((1ull << power) + near);
  for (std::uint64_t ns : times) {
    std::size_t bucket = Histogram::bucket_of(ns);
    ASSERT_LT(bucket, Histogram::kBuckets) << ns;
    if (bucket + 1 < Histogram::kBuckets) EXPECT_LT(ns, Histogram::edge_ns(bucket)) << ns;
    if (bucket > 0) EXPECT_GE(ns, Histogram::edge_ns(bucket - 1)) << ns;
  }
  for (std::size_t b = 1; b < Histogram::kBuckets; ++b)
    EXPECT_GT(Histogram::edge_ns(b), Histogram::edge_ns(b - 1));
}

TEST(Histogram, QuantilesAreAtMostAQuarterAboveTheTruth) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> spread(10, 2);
  Histogram histogram;
  std::vector<std::uint64_t> all;
  for (int i = 0; i < 20000; ++i) {
    auto ns = static_cast<std::uint64_t>(spread(random)) + 1024;
    all.push_back(ns);
    histogram.record(static_cast<std::int64_t>(ns));
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(histogram.count(), all.size());
  EXPECT_EQ(histogram.max_ns(), all.back());
  for (double q : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    std::uint64_t truth = all[static_cast<std::size_t>(q * static_cast<double>(all.size())) - 1];
    EXPECT_GE(histogram.quantile_ns(q), truth) << q;
    EXPECT_LE(histogram.quantile_ns(q), truth + truth / 4 + 1) << q;
  }
  EXPECT_EQ(histogram.quantile_ns(1), all.back());
}

TEST(Histogram, EmptyShortAndEndless) {
  Histogram histogram;
  EXPECT_EQ(histogram.quantile_ns(0.99), 0u);
  histogram.record(-5);
  histogram.record(0);
  EXPECT_EQ(histogram.quantile_ns(1), 0u);
  EXPECT_EQ(histogram.sum_ns(), 0u);
  histogram.record(std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(histogram.count(), 3u);
  EXPECT_EQ(histogram.counts().back(), 1u);
  EXPECT_EQ(histogram.below(Histogram::edge_ns(Histogram::kBuckets - 2)), 2u);
}

TEST(Histogram, MergedIsAsIfRecordedInOne) {
  Histogram one, other, both;
  for (std::int64_t ns : {500, 5'000, 50'000}) one.record(ns), both.record(ns);
  for (std::int64_t ns : {700, 7'000'000}) other.record(ns), both.record(ns);
  one.merge(other);
  EXPECT_TRUE(std::equal(one.counts().begin(), one.counts().end(), both.counts().begin()));
  EXPECT_EQ(one.sum_ns(), both.sum_ns());
  EXPECT_EQ(one.max_ns(), 7'000'000u);
  EXPECT_EQ(one.below(1u << 20), 4u);
}

TEST(Clock, GoesForward) {
  std::int64_t before = monotonic_ns();
  EXPECT_GE(monotonic_ns(), before);
  EXPECT_LE(monotonic_seconds(), static_cast<std::uint64_t>(monotonic_ns() / 1'000'000'000));
}

}  // namespace
}  // namespace base::metrics
