// How the map of a pod's sandbox names who comes later.
#include "cli/slot_bundle.hpp"

#include <gtest/gtest.h>

namespace {

using cli::names_in;
using cli::Slots;
using identity::Extent;
using identity::kAliasBase;

const std::vector<Extent> kMap = {
    {0, 0, 1}, {1, 1, 1000}, {60000, 1633, 1}, {kAliasBase + 1100, 1100, 400}};

// What the plan of the later container says: its ids on their slots.
identity::IdPlan plan(std::vector<Extent> extents) {
  identity::IdPlan plan;
  plan.extents = std::move(extents);
  return plan;
}

std::optional<Slots> names(identity::Id id, identity::Id slot, bool aliases = true) {
  return names_in(kMap, {{id, "process.user.uid"}}, plan({{id, slot, 1}}), aliases);
}

TEST(NamesInAMap, WhatItHasIsItself) {
  EXPECT_EQ(names(60000, 1633), Slots());
  EXPECT_EQ(names(33, 33, false), Slots());
}

TEST(NamesInAMap, WhatItLacksIsTheAliasOfItsSlot) {
  EXPECT_EQ(names(70000, 1421), Slots({{70000, kAliasBase + 1421}}));
  EXPECT_EQ(names(70000, 1499), Slots({{70000, kAliasBase + 1499}}));
}

TEST(NamesInAMap, NobodyAnswersForAnAliasWithoutSupervisor) {
  EXPECT_FALSE(names(70000, 1421, false));
}

TEST(NamesInAMap, ASlotThatTheMapDoesNotHaveHasNoName) {
  EXPECT_FALSE(names(70000, 1500));
  EXPECT_FALSE(names(70000, 1099));
}

// Files are on the plan's slot: the process must not be on another one, nor on somebody's.
TEST(NamesInAMap, AnotherSlotIsNotTaken) {
  EXPECT_FALSE(names(60000, 1421));
  EXPECT_FALSE(names(70000, 1633));
  EXPECT_FALSE(names(70000, 33));
}

TEST(NamesInAMap, AllMustHaveOne) {
  std::vector<oci::Must> musts = {{60000, "a"}, {70000, "b"}, {80000, "c"}};
  EXPECT_FALSE(
      names_in(kMap, musts, plan({{60000, 1633, 1}, {70000, 1421, 1}, {80000, 1700, 1}}), true));
  EXPECT_EQ(
      names_in(kMap, musts, plan({{60000, 1633, 1}, {70000, 1421, 1}, {80000, 1422, 1}}), true),
      Slots({{70000, kAliasBase + 1421}, {80000, kAliasBase + 1422}}));
}

}  // namespace
