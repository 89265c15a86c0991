#include "identity/pool.hpp"

#include <gtest/gtest.h>

#include <string>

namespace identity {
namespace {

struct RangeCase {
  char const* name;
  char const* map;
  HashRange range;
  std::uint64_t size;
};
class PoolRange : public testing::TestWithParam<RangeCase> {};

TEST_P(PoolRange, TellsTheIdsForHashing) {
  auto const pool = Pool::parse(GetParam().map);
  ASSERT_TRUE(pool) << pool.error().message;
  EXPECT_EQ(pool->hash_range(), GetParam().range);
  EXPECT_EQ(pool->size(), GetParam().size);
}

INSTANTIATE_TEST_SUITE_P(
    maps, PoolRange,
    testing::Values(
        RangeCase{"full", "         0          0 4294967295\n", {1, 1999, 2000}, 4294967295},
        RangeCase{"podman", "0 1000 1\n1 100000 2001\n", {1, 1999, 2000}, 2002},
        RangeCase{"seed", "0 0 1\n1 1 1999\n65534 2000 2\n", {1, 1999, 65534}, 2002},
        RangeCase{"seed_unsorted", "65534 2000 2\n1 1 1999\n0 0 1", {1, 1999, 65534}, 2002},
        RangeCase{"no_nobody", "0 0 2000\n", {1, 1998, 1999}, 2000},
        RangeCase{"hole_at_500", "0 0 500\n501 501 3000\n", {1, 499, 2000}, 3500},
        RangeCase{"hundred", "0 0 100\n", {1, 98, 99}, 100},
        RangeCase{"two_ids", "0 0 2\n", {1, 0, 1}, 2},
        RangeCase{"one_id", "0 1000 1\n", {1, 0, 0}, 1},
        RangeCase{"one_user", "1000 1000 1\n", {1, 0, 0}, 1},
        RangeCase{"usual_subuid", "0 1000 1\n1 100000 65536\n", {1, 1999, 2000}, 65537},
        RangeCase{"outside_unknown", "0 4294967295 1\n1 4294967295 2000\n", {1, 1999, 2000}, 2001}),
    [](auto const& row) { return std::string(row.param.name); });

struct BadMap {
  char const* name;
  std::string map;
  char const* message;
};
class PoolRefuses : public testing::TestWithParam<BadMap> {};

TEST_P(PoolRefuses, NamingTheLine) {
  auto const pool = Pool::parse(GetParam().map);
  ASSERT_FALSE(pool);
  EXPECT_NE(pool.error().message.find(GetParam().message), std::string::npos)
      << pool.error().message;
}

std::string many_lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += std::to_string(i * 2) + " " + std::to_string(i) + " 1\n";
  return text;
}

INSTANTIATE_TEST_SUITE_P(
    maps, PoolRefuses,
    testing::Values(
        BadMap{"empty", "", "no line"}, BadMap{"words", "0 0 1\nabc\n", "line 2: \"abc\""},
        BadMap{"blank_line", "0 0 1\n\n", "line 2: \"\""}, BadMap{"two_numbers", "0 0\n", "line 1"},
        BadMap{"four_numbers", "0 0 1 1\n", "line 1"}, BadMap{"negative", "0 -1 1\n", "line 1"},
        BadMap{"hex", "0 0x10 1\n", "line 1"}, BadMap{"too_wide", "0 0 4294967296\n", "line 1"},
        BadMap{"count_zero", "0 0 1\n1 1 0\n", "line 2: \"1 1 0\" maps no id"},
        BadMap{"past_the_end", "1 1 4294967295\n", "line 1: \"1 1 4294967295\" goes past"},
        BadMap{"outside_past_the_end", "0 4294967294 2\n", "goes past"},
        BadMap{"last_id", "4294967295 0 1\n", "goes past"},
        BadMap{"inner_overlap", "0 0 10\n9 100 1\n",
               "line 2: \"9 100 1\" overlaps line 1: \"0 0 10\" on the inner side"},
        BadMap{"outer_overlap", "0 0 10\n10 5 1\n", "on the outer side"},
        BadMap{"same_twice", "0 0 1\n0 0 1\n", "overlaps"},
        BadMap{"lines_341", many_lines(341), "line 341"},
        BadMap{"nul", std::string("0 0 1\0\n", 7), "line 1"}),
    [](auto const& row) { return std::string(row.param.name); });

TEST(Pool, Accepts340Lines) {
  EXPECT_TRUE(Pool::parse(many_lines(340)));
}

TEST(Pool, ContainsExactlyTheMappedIds) {
  Pool const pool = Pool::parse("0 0 1\n1 1 1999\n65534 2000 2\n").value();
  for (Id id : {0u, 1u, 1999u, 65534u, 65535u}) EXPECT_TRUE(pool.contains(id)) << id;
  for (Id id : {2000u, 65533u, 65536u, kNoId}) EXPECT_FALSE(pool.contains(id)) << id;
  EXPECT_FALSE(pool.is_full());
  EXPECT_EQ(pool.extents().size(), 3u);
}

TEST(Pool, IsFullInOneLineOrMany) {
  EXPECT_TRUE(Pool::full().is_full());
  EXPECT_TRUE(Pool::parse("0 0 1\n1 1 4294967294\n")->is_full());
  EXPECT_FALSE(Pool::parse("0 0 4294967294\n")->is_full());
  EXPECT_TRUE(Pool::full().contains(4294967294u));
  EXPECT_FALSE(Pool::full().contains(kNoId));
}

TEST(Pool, FromExtentsRefusesTheSame) {
  EXPECT_TRUE(Pool::from_extents({{0, 0, 1000}}));
  EXPECT_FALSE(Pool::from_extents({}));
  EXPECT_FALSE(Pool::from_extents({{0, 0, 10}, {5, 50, 1}}));
}

}  // namespace
}  // namespace identity
