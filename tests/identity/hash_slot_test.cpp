#include "identity/hash_slot.hpp"

#include <gtest/gtest.h>

#include "identity/pool.hpp"

namespace identity {
namespace {

struct SlotCase {
  char const* name;
  Id true_id;
  Id wide;
  Id seed;
};

class SlotTable : public testing::TestWithParam<SlotCase> {};

TEST_P(SlotTable, IsWhatTheSeedPutOnDisk) {
  EXPECT_EQ(hash_slot(GetParam().true_id, {}, Rule::wide), GetParam().wide);
  EXPECT_EQ(hash_slot(GetParam().true_id, {}, Rule::seed), GetParam().seed);
}

INSTANTIATE_TEST_SUITE_P(
    golden, SlotTable,
    testing::Values(SlotCase{"root", 0, 0, 0}, SlotCase{"id_500", 500, 1303, 1303},
                    SlotCase{"id_1000", 1000, 1520, 1520}, SlotCase{"id_1500", 1500, 1525, 1525},
                    SlotCase{"id_60000", 60000, 1633, 1633},
                    SlotCase{"id_65532", 65532, 1354, 1354}, SlotCase{"nobody", 65534, 2000, 2000},
                    SlotCase{"pause", 65535, 2000, 2000}, SlotCase{"no_id", kNoId, 2000, 2000}),
    [](auto const& row) { return std::string(row.param.name); });

TEST(HashSlot, WideRuleHashesIdsAboveNobody) {
  for (Id id : {65536u, 1000000u, 1185200044u, 4294967294u}) {
    Id const slot = hash_slot(id, {});
    EXPECT_GE(slot, 1u);
    EXPECT_LE(slot, 1999u);
    EXPECT_EQ(hash_slot(id, {}, Rule::seed), 2000u);
  }
}

TEST(HashSlot, EveryIdOf16BitsLandsInEachPool) {
  for (char const* map : {"0 0 1\n1 1 1999\n65534 2000 2\n", "0 1000 1\n1 100000 2001\n", "0 0 9\n",
                          "0 1000 1\n", "0 0 2\n", "0 0 4294967295\n"}) {
    Pool const pool = Pool::parse(map).value();
    HashRange const range = pool.hash_range();
    for (Id id = 0; id < 65536; ++id) {
      ASSERT_TRUE(pool.contains(hash_slot(id, range))) << map << " id " << id;
    }
  }
}

TEST(HashSlot, OnlyRootIsRoot) {
  for (Id id = 1; id < 200000; ++id) ASSERT_NE(hash_slot(id, {}), 0u) << id;
}

TEST(HashSlot, AOneIdPoolHasNoSlots) {
  for (Id id : {0u, 1u, 500u, 65534u, 4294967294u}) EXPECT_EQ(hash_slot(id, {1, 0, 0}), 0u);
}

}  // namespace
}  // namespace identity
