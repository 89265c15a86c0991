#include "seccomp/id_view.hpp"

#include <gtest/gtest.h>

#include <string>

namespace seccomp {
namespace {

using identity::Collisions;
using identity::LiveSlots;
using identity::Pool;

constexpr const char* kSeedPool = "0 0 1\n1 1 1999\n65534 2000 2\n";

std::shared_ptr<LiveSlots> slots_of(const char* map = kSeedPool,
                                    Collisions collisions = Collisions::native) {
  Pool pool = Pool::parse(map).value();
  auto range = pool.hash_range();
  return std::make_shared<LiveSlots>(pool, range, identity::Rule::wide, identity::Window{},
                                     collisions);
}

// The container shares our namespace: every id is itself.
IdView slot_mode(std::shared_ptr<LiveSlots> slots) {
  Pool same = Pool::parse("0 0 1\n1 1 1999\n65534 65534 2\n").value();
  return {std::move(same), std::move(slots)};
}

std::string alias(Id slot) {
  return std::to_string(kAliasBase + slot);
}

// Planned: 0, 33, 60000 (on its hash slot 1633), nobody. All other slots of the window by alias.
IdView map_mode(std::shared_ptr<LiveSlots> slots) {
  std::string text = "0 0 1\n33 33 1\n60000 1633 1\n65534 65534 1\n" + alias(1000) + " 1000 633\n" +
                     alias(1634) + " 1634 365\n";
  return {Pool::parse(text).value(), std::move(slots)};
}

TEST(IdView, InSlotModeTheCarrierIsTheSlot) {
  auto slots = slots_of();
  IdView view = slot_mode(slots);
  EXPECT_EQ(view.carrier(60000), 1633u);
  EXPECT_EQ(view.truth_of_carrier(1633), 60000u);
  EXPECT_EQ(view.truth_of_slot(1633), 60000u);
  EXPECT_EQ(slots->meaning(1633), 60000u);
  for (Id id : {0u, 1u, 33u, 999u, 1999u, 65534u}) {
    EXPECT_EQ(view.carrier(id), id);
    EXPECT_EQ(view.truth_of_carrier(id), id);
    EXPECT_EQ(view.truth_of_slot(id), id);
  }
}

TEST(IdView, ANativeIdWhoseSlotIsTakenMoves) {
  auto slots = slots_of();
  IdView view = slot_mode(slots);
  EXPECT_EQ(view.carrier(60000), 1633u);
  Id moved = view.carrier(1633);
  EXPECT_NE(moved, 1633u);
  EXPECT_NE(moved, kNoId);
  EXPECT_EQ(view.truth_of_carrier(moved), 1633u);
  EXPECT_EQ(view.truth_of_carrier(1633), 60000u);
}

TEST(IdView, ANativeIdThatIsUsedIsNotGivenAway) {
  IdView view = slot_mode(slots_of());
  EXPECT_EQ(view.carrier(1633), 1633u);
  Id other = view.carrier(60000);
  EXPECT_NE(other, 1633u);
  EXPECT_EQ(view.truth_of_carrier(other), 60000u);
}

TEST(IdView, LookingAssignsNothing) {
  auto slots = slots_of();
  IdView view = slot_mode(slots);
  for (Id id = 0; id < 3000; ++id) {
    EXPECT_EQ(view.truth_of_carrier(id), id);
    EXPECT_EQ(view.truth_of_slot(id), id);
  }
  EXPECT_EQ(slots->changes(), 0u);
}

TEST(IdView, InMapModePlannedIdsAreThemselvesAndOthersGoByAliases) {
  auto slots = slots_of();
  ASSERT_EQ(slots->claim(60000), 1633u) << "as the plan did";
  IdView view = map_mode(slots);
  EXPECT_FALSE(view.translates());
  EXPECT_EQ(view.carrier(60000), 60000u);
  EXPECT_EQ(view.truth_of_slot(1633), 60000u);
  EXPECT_EQ(view.truth_of_carrier(60000), 60000u);
  EXPECT_EQ(view.carrier(33), 33u);
  EXPECT_FALSE(view.translates());

  Id slot = slots->claim(70000);
  EXPECT_EQ(view.carrier(70000), kAliasBase + slot);
  EXPECT_EQ(view.truth_of_carrier(kAliasBase + slot), 70000u);
  EXPECT_EQ(view.truth_of_slot(slot), 70000u);
  EXPECT_TRUE(view.translates());
}

TEST(IdView, APlanThatWeDidNotMakeIsBelieved) {
  auto slots = slots_of();
  ASSERT_TRUE(slots->restore(80000, 1633)) << "by our table the slot is another's";
  IdView view = map_mode(slots);
  EXPECT_EQ(view.carrier(60000), 60000u);
  EXPECT_EQ(view.truth_of_slot(1633), 60000u);
  EXPECT_EQ(view.carrier(80000), kNoId) << "its only number here means somebody else";
  EXPECT_FALSE(view.translates());
}

TEST(IdView, AnIdWithoutNumberHasNoCarrier) {
  auto slots = slots_of();
  IdView view(Pool::parse("0 0 1\n60000 1633 1\n").value(), slots);
  EXPECT_EQ(view.carrier(70000), kNoId);
  EXPECT_EQ(view.carrier(33), kNoId);
  EXPECT_EQ(view.carrier(kNoId), kNoId);
  EXPECT_EQ(view.truth_of_carrier(4711), 4711u);
  EXPECT_EQ(view.truth_of_carrier(65534), 65534u) << "the kernel's name for what it can not name";
}

TEST(IdView, AFullWindowHasNoCarrier) {
  auto slots = slots_of();
  IdView view = slot_mode(slots);
  for (Id id = 100000; id < 100999; ++id) ASSERT_NE(slots->claim(id), kNoId) << id;
  EXPECT_EQ(view.carrier(200000), kNoId);
  EXPECT_EQ(view.carrier(100500), slots->claim(100500)) << "who has one keeps it";
}

TEST(IdView, WithoutANobodyOfItsOwnThePoolsNobodyCarries65534) {
  auto slots = slots_of("0 1000 1\n1 100000 2001\n");
  IdView view(Pool::parse("0 0 2002\n").value(), slots);
  ASSERT_EQ(slots->nobody_id(), 2000u);
  EXPECT_TRUE(view.translates());
  EXPECT_EQ(view.carrier(65534), 2000u);
  EXPECT_EQ(view.truth_of_carrier(2000), 65534u);
  EXPECT_NE(view.carrier(2000), 2000u);
}

TEST(IdView, InAFullMapNothingIsEverTranslated) {
  IdView view(Pool::full(), slots_of("0 0 4294967295\n"));
  for (Id id : {0u, 33u, 65534u, 60000u, 4000000000u}) {
    EXPECT_EQ(view.carrier(id), id);
    EXPECT_EQ(view.truth_of_carrier(id), id);
    EXPECT_EQ(view.truth_of_slot(id), id);
  }
  EXPECT_FALSE(view.translates());
}

TEST(IdView, TranslatesFollowsEveryAssignment) {
  auto slots = slots_of();
  IdView view = slot_mode(slots);
  EXPECT_FALSE(view.translates());
  (void)slots->claim(1500);
  EXPECT_FALSE(view.translates()) << "1500 is itself";
  (void)slots->present(60000);  // by a file in a mount
  EXPECT_TRUE(view.translates());
}

TEST(IdView, AnAliasCarriesItself) {
  auto slots = slots_of();
  IdView view = map_mode(slots);
  Id slot = slots->claim(70000);
  EXPECT_EQ(view.carrier(kAliasBase + slot), kAliasBase + slot);
  EXPECT_TRUE(view.has(kAliasBase + slot));
  Id outside_the_map = kAliasBase + 4711;
  Id number = view.carrier(outside_the_map);
  ASSERT_NE(number, kNoId);
  EXPECT_EQ(view.truth_of_carrier(number), outside_the_map) << "an id like any other";
}

TEST(IdView, HasDoesNotAssign) {
  auto slots = slots_of();
  IdView view = slot_mode(slots), mapped = map_mode(slots);
  EXPECT_FALSE(view.has(60000));
  EXPECT_FALSE(view.has(1500)) << "of the pool, and of the window";
  EXPECT_TRUE(view.has(33));
  EXPECT_TRUE(view.has(65534));
  EXPECT_FALSE(view.has(kNoId));
  EXPECT_EQ(slots->changes(), 0u);
  (void)view.carrier(60000);
  EXPECT_TRUE(view.has(60000));
  EXPECT_TRUE(mapped.has(60000));
  EXPECT_FALSE(mapped.has(34));
}

TEST(IdView, ShownIsWhatTheKernelSays) {
  auto slots = slots_of();
  IdView view = slot_mode(slots), mapped = map_mode(slots);
  EXPECT_EQ(view.shown(1633), 1633u);
  EXPECT_EQ(mapped.shown(1633), 60000u);
  EXPECT_EQ(mapped.shown(1421), kAliasBase + 1421);
  EXPECT_EQ(mapped.shown(34), 65534u);
}

TEST(IdView, TheLastSlotsAreForPlannedIds) {
  auto slots = slots_of();
  IdView view = slot_mode(slots);
  Id id = 100000;
  while (view.carrier(id) != kNoId) ++id;
  EXPECT_EQ(slots->free_slots(), slots->slot_count() / 8);
  EXPECT_FALSE(view.has(id));
  EXPECT_NE(slots->claim(id), kNoId);
  EXPECT_NE(view.carrier(id), kNoId);  // what has a slot already is not refused
  EXPECT_NE(view.carrier(100000), kNoId);
  EXPECT_EQ(view.carrier(id + 1), kNoId);
}

}  // namespace
}  // namespace seccomp
