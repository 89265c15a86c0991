#include "base/nearest.hpp"

#include <gtest/gtest.h>

#include <array>

namespace {

constexpr std::array<std::string_view, 5> kNames = {"status", "stop", "mounts", "metrics",
                                                    "log-level"};

TEST(Nearest, FindsWhatWasMeant) {
  EXPECT_EQ(base::nearest("statsu", kNames), "status");  // swapped
  EXPECT_EQ(base::nearest("stats", kNames), "status");   // left out
  EXPECT_EQ(base::nearest("sttop", kNames), "stop");     // inserted
  EXPECT_EQ(base::nearest("mountz", kNames), "mounts");  // changed
  EXPECT_EQ(base::nearest("loglevel", kNames), "log-level");
  EXPECT_EQ(base::nearest("stop", kNames), "stop");
}

TEST(Nearest, SaysNothingRatherThanNonsense) {
  EXPECT_EQ(base::nearest("merged", kNames), "");
  EXPECT_EQ(base::nearest("", kNames), "");
  EXPECT_EQ(base::nearest("x", kNames), "");
  EXPECT_EQ(base::nearest(std::string(100000, 's'), kNames), "");
  EXPECT_EQ(base::nearest("stop", {}), "");
}

}  // namespace
