#include "identity/live_slots.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "tests/identity/gen.hpp"

namespace identity {
namespace {

using testing_random::for_all;
using testing_random::Gen;

LiveSlots make(char const* map, Collisions collisions = Collisions::separate, Window window = {}) {
  Pool pool = Pool::parse(map).value();
  HashRange const range = pool.hash_range();
  return {std::move(pool), range, Rule::wide, window, collisions};
}
constexpr char const* kSeedMap = "0 0 1\n1 1 1999\n65534 2000 2\n";
constexpr char const* kPodmanMap = "0 1000 1\n1 100000 2001\n";

TEST(LiveSlots, AMappedIdPrefersItself) {
  LiveSlots slots = make(kSeedMap);
  for (Id id : {0u, 1u, 33u, 999u, 1000u, 1500u, 1999u, 65534u, 65535u}) {
    EXPECT_EQ(slots.present(id), id);
    EXPECT_EQ(slots.truth(id), id == 65534 ? kNobody : id);
  }
}

TEST(LiveSlots, AForeignIdPrefersItsHashSlot) {
  LiveSlots slots = make(kSeedMap);
  EXPECT_EQ(slots.present(60000), 1633u);
  EXPECT_EQ(slots.truth(1633), 60000u);
  std::vector<LiveSlots::Assignment> const expected = {{60000, 1633, true}};
  EXPECT_EQ(slots.assignments(), expected);
}

TEST(LiveSlots, ATakenSlotGivesTheNextFreeOne) {
  LiveSlots slots = make(kSeedMap);
  EXPECT_EQ(slots.present(1633), 1633u);
  EXPECT_EQ(slots.present(1634), 1634u);
  EXPECT_EQ(slots.present(60000), 1635u);
  EXPECT_EQ(slots.truth(1635), 60000u);
  Id const displaced = slots.present(1635);
  EXPECT_EQ(displaced, hash_slot(1635, {})) << "its own slot is another's by now";
  EXPECT_EQ(slots.truth(displaced), 1635u);
  std::vector<LiveSlots::Assignment> const expected = {
      {1633, 1633, true}, {1634, 1634, true}, {1635, displaced, false}, {60000, 1635, false}};
  EXPECT_EQ(slots.assignments(), expected);
}

TEST(LiveSlots, TheSearchWrapsAround) {
  LiveSlots slots = make(kSeedMap, Collisions::separate, {1630, 1635});
  for (Id id : {1633u, 1634u, 1635u}) slots.present(id);
  EXPECT_EQ(slots.present(60000), 1630u);
}

TEST(LiveSlots, OutsideTheWindowNoForeignIdIsPlaced) {
  // 2000 is foreign here, and 1000000 and most others hash below 1000 half of the time.
  LiveSlots slots = make(kSeedMap);
  for (Id id = 100000; id < 100999; ++id) {
    Id const slot = slots.present(id);
    ASSERT_GE(slot, 1000u);
    ASSERT_LE(slot, 1998u);
  }
  EXPECT_EQ(slots.stranger_count(), 0u);
  EXPECT_EQ(slots.present(200000), kNobody) << "999 slots, all given";
  EXPECT_EQ(slots.present(200000), kNobody);
  EXPECT_EQ(slots.stranger_count(), 1u);
  ASSERT_EQ(slots.strangers().size(), 1u);
  EXPECT_EQ(slots.strangers()[0], 200000u);
  EXPECT_EQ(slots.truth(kNobody), kNobody) << "a stranger's slot means nobody";
}

TEST(LiveSlots, NobodyIsReservedWhere65534IsNotMapped) {
  LiveSlots slots = make(kPodmanMap);
  EXPECT_EQ(slots.nobody_id(), 2000u);
  EXPECT_EQ(slots.present(65534), 2000u);
  EXPECT_EQ(slots.truth(2000), kNobody);
  Id const displaced = slots.present(2000);
  EXPECT_NE(displaced, 2000u);
  EXPECT_EQ(slots.truth(displaced), 2000u);
  EXPECT_EQ(slots.present(2001), 2001u);
}

TEST(LiveSlots, AOneIdPoolShowsAllAsItsOnlyId) {
  LiveSlots root = make("0 1000 1\n");
  for (Id id : {0u, 1u, 60000u, 65534u, kNoId}) EXPECT_EQ(root.present(id), 0u);
  EXPECT_EQ(root.truth(0), 0u);
  LiveSlots user = make("1000 1000 1\n");
  for (Id id : {0u, 1000u, 60000u, 65534u}) EXPECT_EQ(user.present(id), 1000u);
  EXPECT_EQ(user.truth(1000), 1000u);
}

TEST(LiveSlots, AStrangerIsNeverRootWhereThereIsAnotherId) {
  for (char const* map : {"0 0 2\n", "0 0 1\n500 500 10\n", "0 0 100\n"}) {
    LiveSlots slots = make(map);
    EXPECT_NE(slots.present(60000), 0u) << map;
    EXPECT_NE(slots.present(4000000000u), 0u) << map;
    EXPECT_EQ(slots.truth(slots.present(60000)), kNobody) << map;
  }
}

TEST(LiveSlots, AFullPoolNeedsNoTable) {
  LiveSlots slots = make("0 0 4294967295\n");
  for_all(1000, [&](Gen& gen) {
    Id const id = gen.id();
    ASSERT_EQ(slots.present(id), id);
    ASSERT_EQ(slots.truth(id), id);
  });
  EXPECT_TRUE(slots.assignments().empty());
  EXPECT_EQ(slots.present(kNoId), kNobody);
}

TEST(LiveSlots, ShareAlwaysShowsTheHashSlot) {
  LiveSlots slots = make(kSeedMap, Collisions::share);
  EXPECT_EQ(slots.present(1633), 1633u);
  EXPECT_EQ(slots.present(60000), 1633u);
  EXPECT_EQ(slots.truth(1633), 1633u) << "the first comer";
  for_all(1000, [&](Gen& gen) {
    Id const id = 65536 + gen.id() % 1000000;
    ASSERT_EQ(slots.present(id), hash_slot(id, {1, 1999, kNobody}));
  });
  EXPECT_EQ(slots.stranger_count(), 0u);
  EXPECT_EQ(slots.present(65534), kNobody);
}

TEST(LiveSlots, TellsEachAssignmentOnce) {
  LiveSlots slots = make(kSeedMap);
  std::vector<LiveSlots::Assignment> told;
  slots.on_assign([&](LiveSlots::Assignment const& a) { told.push_back(a); });
  for (int i = 0; i < 3; ++i) {
    slots.present(60000);
    slots.truth(1633);
    slots.truth(1700);
    slots.present(1700);
    slots.present(5);
  }
  std::vector<LiveSlots::Assignment> const expected = {{60000, 1633, true}, {1700, 1700, true}};
  EXPECT_EQ(told, expected);
}

TEST(LiveSlots, AJournalRestoresTheSameTable) {
  for_all(200, [](Gen& gen) {
    LiveSlots first = make(kPodmanMap);
    LiveSlots second = make(kPodmanMap);
    std::vector<LiveSlots::Assignment> journal;
    first.on_assign([&](LiveSlots::Assignment const& a) { journal.push_back(a); });
    for (int i = 0; i < 300; ++i) first.present(gen.id());
    for (auto const& a : journal) ASSERT_TRUE(second.restore(a.true_id, a.slot));
    for (auto const& a : journal) ASSERT_TRUE(second.restore(a.true_id, a.slot)) << "again";
    ASSERT_EQ(first.assignments(), second.assignments());
  });
}

TEST(LiveSlots, AForgedJournalLineIsRefused) {
  LiveSlots slots = make(kSeedMap);
  slots.present(60000);
  EXPECT_FALSE(slots.restore(70000, 1633)) << "taken";
  EXPECT_FALSE(slots.restore(60000, 1700)) << "has one already";
  EXPECT_FALSE(slots.restore(70000, 0));
  EXPECT_FALSE(slots.restore(70000, 33)) << "outside the window";
  EXPECT_FALSE(slots.restore(70000, 65534));
  EXPECT_FALSE(slots.restore(0, 1700)) << "root is root";
  EXPECT_FALSE(slots.restore(33, 1700)) << "33 can only be itself";
  EXPECT_FALSE(slots.restore(kNoId, 1700));
  EXPECT_EQ(slots.truth(1700), 1700u);
}

class Invariants : public testing::TestWithParam<std::pair<char const*, char const*>> {};

TEST_P(Invariants, HoldUnderRandomUse) {
  Pool const pool = Pool::parse(GetParam().second).value();
  for_all(30, [&](Gen& gen) {
    Window const window = gen.below(2) ? Window{} : Window{gen.below(1200), gen.below(2500)};
    LiveSlots slots = make(GetParam().second, Collisions::separate, window);
    std::map<Id, Id> shown;    // true id -> slot
    std::map<Id, Id> reverse;  // slot -> true id
    auto learn = [&](Id true_id, Id slot) {
      ASSERT_TRUE(pool.contains(slot)) << true_id << " -> " << slot;
      auto const [at, fresh] = shown.emplace(true_id, slot);
      ASSERT_EQ(at->second, slot) << "an assignment is for ever";
      if (slot == slots.nobody_id()) return;
      auto const [back, unused] = reverse.emplace(slot, true_id);
      ASSERT_EQ(back->second, true_id) << "two true ids share slot " << slot;
    };
    for (int i = 0; i < 4000; ++i) {
      if (gen.below(3) == 0) {
        Id const slot = gen.id();
        if (!pool.contains(slot) || slot == slots.nobody_id()) continue;
        learn(slots.truth(slot), slot);
      } else {
        Id const true_id = gen.id();
        Id const slot = slots.present(true_id);
        learn(true_id, slot);
        if (slot != slots.nobody_id()) {
          ASSERT_EQ(slots.truth(slot), true_id);
        }
      }
      if (testing::Test::HasFatalFailure()) return;
    }
    ASSERT_LE(slots.assignments().size(), pool.size());
    ASSERT_LE(slots.strangers().size(), 1024u);
  });
}

INSTANTIATE_TEST_SUITE_P(
    pools, Invariants,
    testing::Values(std::pair{"seed", kSeedMap}, std::pair{"podman", kPodmanMap},
                    std::pair{"hole", "0 0 500\n501 501 1000\n1600 1600 300\n"},
                    std::pair{"two_ids", "0 0 2\n"},
                    std::pair{"usual", "0 1000 1\n1 100000 65536\n"},
                    std::pair{"high_ids", "0 0 1\n3000000000 10 2000\n"},
                    std::pair{"full", "0 0 4294967295\n"}),
    [](auto const& row) { return std::string(row.param.first); });

TEST(LiveSlots, NativeIdsAreAlwaysThemselves) {
  LiveSlots slots = make(kSeedMap, Collisions::native);
  EXPECT_EQ(slots.present(60000), 1633u);
  EXPECT_EQ(slots.present(1633), 1633u) << "a process of 1633 runs as 1633";
  EXPECT_EQ(slots.truth(1633), 60000u);
  LiveSlots other = make(kSeedMap, Collisions::native);
  EXPECT_EQ(other.present(1633), 1633u);
  EXPECT_EQ(other.present(60000), 1633u) << "what was seen only on files does not move a hash slot";
}

TEST(LiveSlots, NativeForeignIdsNeverShareAndAvoidWhatIsUsed) {
  LiveSlots slots = make(kSeedMap, Collisions::native);
  for (Id id = 1634; id < 1640; ++id) EXPECT_EQ(slots.present(id), id);
  EXPECT_EQ(slots.present(60000), 1633u);
  EXPECT_EQ(slots.present(5001), 1640u) << "the same hash slot as 60000; 1634.. are in use";
  LiveSlots acting = make(kSeedMap, Collisions::native);
  EXPECT_EQ(acting.truth(1633), 1633u) << "a process acts with this id";
  EXPECT_EQ(acting.present(60000), 1634u);
}

TEST(LiveSlots, NativeUsesSeenIdsRatherThanNone) {
  LiveSlots slots = make(kSeedMap, Collisions::native, {1000, 1001});
  EXPECT_EQ(slots.present(1000) + slots.present(1001), 2001u);
  Id const first = slots.present(70000), second = slots.present(70001);
  EXPECT_NE(first, second);
  EXPECT_NE(first, slots.nobody_id());
  EXPECT_EQ(slots.present(70002), slots.nobody_id());
}

TEST(LiveSlots, MemoryIsBoundedWhateverIsAsked) {
  LiveSlots slots = make(kSeedMap);
  for (Id id = 70000; id < 3070000; ++id) slots.present(id);
  EXPECT_EQ(slots.assignments().size(), 999u);
  EXPECT_EQ(slots.strangers().size(), 1024u);
  EXPECT_EQ(slots.stranger_count(), 3000000u - 999);
}

TEST(LiveSlots, AWindowOfAllIdsIsCut) {
  LiveSlots slots = make("0 0 4294967294\n", Collisions::separate, {0, kNoId});
  EXPECT_EQ(slots.present(4294967294u), hash_slot(4294967294u, {}));
  EXPECT_EQ(slots.present(0), 0u);
  EXPECT_EQ(slots.present(4294967293u), 4294967293u);
  LiveSlots backwards = make(kSeedMap, Collisions::separate, {5, 4});
  EXPECT_EQ(backwards.present(60000), kNobody);
}

}  // namespace
}  // namespace identity
