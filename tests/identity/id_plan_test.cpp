#include "identity/id_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>

#include "tests/identity/gen.hpp"

namespace identity {
namespace {

using testing_random::for_all;
using testing_random::Gen;

constexpr char const* kSeedMap = "0 0 1\n1 1 1999\n65534 2000 2\n";
constexpr char const* kPodmanMap = "0 1000 1\n1 100000 2001\n";
constexpr Collisions kModes[] = {Collisions::native, Collisions::separate, Collisions::share};

struct World {
  Pool pool;
  LiveSlots slots;
  explicit World(char const* map, Collisions mode = Collisions::native, Window window = {})
      : pool(Pool::parse(map).value()), slots(pool, pool.hash_range(), Rule::wide, window, mode) {}
  IdPlan plan(std::vector<Id> const& wanted, bool fill = true, Aliases aliases = Aliases::none) {
    return plan_ids(pool, slots, wanted, fill, aliases);
  }
};

std::vector<Id> every_other(Id first, Id count) {
  std::vector<Id> ids;
  for (Id i = 0; i < count; ++i) ids.push_back(first + 2 * i);
  return ids;
}

// The rules of map_write() and new_idmap_permitted() in kernel/user_namespace.c.
void expect_writable(IdPlan const& plan, Pool const& pool) {
  ASSERT_LE(plan.extents.size(), kMaxExtents);
  ASSERT_LE(map_text(plan.extents).size(), kMaxMapBytes);
  ASSERT_TRUE(Pool::from_extents(plan.extents)) << "overlap";
  for (Extent const& e : plan.extents) {
    auto const inside_parent = [&](Extent const& parent) {
      return e.outside >= parent.inside && e.outside - parent.inside < parent.count &&
             e.count <= parent.count - (e.outside - parent.inside);
    };
    ASSERT_EQ(std::count_if(pool.extents().begin(), pool.extents().end(), inside_parent), 1)
        << e.inside << " " << e.outside << " " << e.count;
  }
}

void expect_accounted(IdPlan const& plan, std::vector<Id> const& wanted) {
  std::set<Id> const asked(wanted.begin(), wanted.end());
  std::set<Id> told;
  for (IdPlan::Row const& row : plan.rows) {
    ASSERT_TRUE(told.insert(row.true_id).second);
    ASSERT_EQ(plan.slot_of(row.true_id), row.slot);
  }
  for (IdPlan::Missing const& missing : plan.left_out) {
    ASSERT_TRUE(told.insert(missing.true_id).second);
    ASSERT_FALSE(plan.maps(missing.true_id));
  }
  ASSERT_EQ(told, asked);
}

TEST(IdPlan, AFewIds) {
  World world(kSeedMap);
  IdPlan const plan = world.plan({60000, 1000, 60000, 65535});
  EXPECT_EQ(plan.rows, (std::vector<IdPlan::Row>{
                           {1000, 1000, true}, {60000, 1633, true}, {65535, 65535, true}}));
  EXPECT_EQ(map_text(plan.extents), "0 0 1\n1 1 1000\n1999 1999 1\n60000 1633 1\n65534 65534 2\n");
  EXPECT_TRUE(plan.left_out.empty());
  EXPECT_FALSE(plan.identity);
  EXPECT_EQ(plan.slot_of(999), 999u);
  EXPECT_EQ(plan.slot_of(1001), std::nullopt) << "may be given to anybody tomorrow";
  EXPECT_EQ(map_text(world.plan({60000}, false).extents), "0 0 1\n60000 1633 1\n65534 65534 1\n");
}

TEST(IdPlan, NobodyIsTheLastIdWhere65534IsNotOfThePool) {
  World world(kPodmanMap);
  IdPlan const plan = world.plan({65535, 2000, 65534});
  EXPECT_EQ(plan.slot_of(65534), 2000u);
  ASSERT_TRUE(plan.maps(65535) && plan.maps(2000)) << "ordinary foreign ids here";
  EXPECT_NE(plan.slot_of(65535), 2000u);
  EXPECT_NE(plan.slot_of(2000), 2000u);
  EXPECT_EQ(plan.slot_of(2001), 2001u);
  expect_writable(plan, world.pool);
}

TEST(IdPlan, IdsNearTheEnd) {
  std::vector<Id> const ids = {0x7FFFFFFF, 0x80000000, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF};
  World world(kSeedMap);
  IdPlan const plan = world.plan(ids);
  expect_writable(plan, world.pool);
  expect_accounted(plan, ids);
  EXPECT_EQ(plan.left_out, (std::vector<IdPlan::Missing>{{kNoId, LeftOut::invalid}}));
}

TEST(IdPlan, ASlotThatAnotherIdHasMakesThePoolIdMove) {
  World world(kSeedMap);
  ASSERT_EQ(world.slots.present(60000), 1633u);
  ASSERT_EQ(world.slots.present(1633), 1633u) << "native: shown as itself so far";
  IdPlan const plan = world.plan({1633, 60000});
  Id const moved = plan.slot_of(1633).value();
  EXPECT_NE(moved, 1633u);
  EXPECT_EQ(plan.slot_of(60000), 1633u);
  EXPECT_EQ(world.slots.present(1633), moved);
  EXPECT_EQ(world.slots.truth(moved), 1633u);
  EXPECT_EQ(world.slots.take_moved(), std::vector<Id>{1633});
  EXPECT_TRUE(world.slots.take_moved().empty());
}

TEST(IdPlan, APoolIdThatWasPlannedFirstStays) {
  World world(kSeedMap);
  EXPECT_EQ(world.plan({60000, 1633}).slot_of(1633), 1633u) << "pool ids are claimed first";
  EXPECT_NE(world.plan({60000}).slot_of(60000), 1633u);
}

TEST(IdPlan, AMoveByAnotherProcessOverridesWhatWasShown) {
  World world(kSeedMap);
  ASSERT_EQ(world.slots.present(1633), 1633u);
  ASSERT_TRUE(world.slots.restore(60000, 1633));
  ASSERT_TRUE(world.slots.restore(1633, 1700));
  EXPECT_EQ(world.slots.present(1633), 1700u);
  EXPECT_EQ(world.slots.take_moved(), std::vector<Id>{1633});
  EXPECT_FALSE(world.slots.restore(1633, 1701)) << "once and for all";
}

TEST(IdPlan, AContiguousRunIsOneLine) {
  World world(kSeedMap);
  std::vector<Id> ids(300);
  std::iota(ids.begin(), ids.end(), 1000);
  IdPlan const plan = world.plan(ids);
  EXPECT_EQ(map_text(plan.extents), "0 0 1\n1 1 1299\n1999 1999 1\n65534 65534 2\n");
}

TEST(IdPlan, FoldsNeverCrossTheParentsExtents) {
  World world("0 1000 1\n1 100000 1499\n1500 200000 500\n");
  IdPlan const plan = world.plan({1498, 1499, 1500, 1501});
  expect_writable(plan, world.pool);
  EXPECT_EQ(map_text(plan.extents), "0 0 1\n1 1 999\n1498 1498 2\n1500 1500 2\n65534 1999 1\n");
}

TEST(IdPlan, ThreeHundredIds) {
  World world(kSeedMap);
  std::vector<Id> const ids = every_other(20001, 300);
  IdPlan const plan = world.plan(ids);
  expect_writable(plan, world.pool);
  EXPECT_EQ(plan.rows.size(), 300u);
}

TEST(IdPlan, OddSystemIdsCostOneLineTogether) {
  World world(kSeedMap);
  IdPlan const plan = world.plan(every_other(1, 499));
  EXPECT_EQ(plan.rows.size(), 499u);
  EXPECT_TRUE(plan.left_out.empty());
}

TEST(IdPlan, TheLeastImportantAreLeftOutAndNamed) {
  World world(kSeedMap);
  std::vector<Id> const ids = every_other(2001, 400);
  IdPlan const plan = world.plan(ids);
  expect_writable(plan, world.pool);
  expect_accounted(plan, ids);
  ASSERT_FALSE(plan.left_out.empty());
  for (std::size_t i = 0; i < plan.left_out.size(); ++i) {
    EXPECT_EQ(plan.left_out[i].true_id, ids[ids.size() - plan.left_out.size() + i]);
    EXPECT_EQ(plan.left_out[i].why, LeftOut::lines);
  }
  EXPECT_EQ(plan.extents.size(), kMaxExtents);
  EXPECT_EQ(world.slots.assignments().size(), plan.rows.size()) << "no slot for nothing";
}

TEST(IdPlan, LongNumbersFillThePage) {
  World world("0 0 1\n3000000000 10 2000\n", Collisions::native, {3000000000, 3000001998});
  std::vector<Id> const ids = every_other(4000000001, 300);
  IdPlan const plan = world.plan(ids);
  expect_writable(plan, world.pool);
  expect_accounted(plan, ids);
  ASSERT_FALSE(plan.left_out.empty());
  EXPECT_EQ(plan.left_out.front().why, LeftOut::bytes);
  EXPECT_GT(map_text(plan.extents).size(), kMaxMapBytes - 25);
}

TEST(IdPlan, AFullWindowLeavesForeignIdsOut) {
  World world(kSeedMap);
  for (Id id = 100000; id < 100999; ++id) world.slots.present(id);
  IdPlan const plan = world.plan({100500, 60000, 33});
  EXPECT_EQ(plan.left_out, (std::vector<IdPlan::Missing>{{60000, LeftOut::no_slot}}));
  EXPECT_TRUE(plan.maps(100500) && plan.maps(33));
}

TEST(IdPlan, ManyMoreIdsThanSlots) {
  World world(kSeedMap);
  std::vector<Id> ids(50000);
  std::iota(ids.begin(), ids.end(), 100000);
  std::shuffle(ids.begin(), ids.end(), std::mt19937_64(7));
  IdPlan const plan = world.plan(ids);
  expect_writable(plan, world.pool);
  expect_accounted(plan, ids);
  EXPECT_GE(plan.rows.size(), 280u);
  EXPECT_TRUE(plan.maps(ids[0]) && plan.maps(ids[99]));
}

TEST(IdPlan, SmallPools) {
  World one("0 1000 1\n");
  IdPlan const alone = one.plan({0, 60000, 65534});
  EXPECT_EQ(map_text(alone.extents), "0 0 1\n");
  EXPECT_EQ(alone.left_out, (std::vector<IdPlan::Missing>{{65534, LeftOut::no_window},
                                                          {60000, LeftOut::no_window}}));
  World few("0 1000 1\n1 100000 65\n");
  IdPlan const windowless = few.plan({60000, 33, 65534});
  EXPECT_EQ(windowless.left_out, (std::vector<IdPlan::Missing>{{60000, LeftOut::no_window}}));
  EXPECT_EQ(windowless.slot_of(33), 33u);
  EXPECT_EQ(windowless.slot_of(65534), 65u);
}

TEST(IdPlan, AFullMapNeedsNone) {
  World world("0 0 4294967295\n");
  IdPlan const plan = world.plan({60000, kNoId});
  EXPECT_TRUE(plan.identity);
  EXPECT_EQ(plan.slot_of(4294967294u), 4294967294u);
  EXPECT_EQ(plan.left_out, (std::vector<IdPlan::Missing>{{kNoId, LeftOut::invalid}}));
}

TEST(IdPlan, WhereIdsShareTheSecondHasNoSlotOfItsOwn) {
  World world(kSeedMap, Collisions::share);
  IdPlan const plan = world.plan({60000, 5001});  // both hash to 1633
  EXPECT_EQ(plan.slot_of(60000), 1633u);
  EXPECT_EQ(plan.left_out, (std::vector<IdPlan::Missing>{{5001, LeftOut::shared}}));
  expect_writable(plan, world.pool);
  EXPECT_EQ(plan.slot_of(1633), std::nullopt) << "60000 was there first";
  EXPECT_EQ(plan.slot_of(1700), 1700u);
}

TEST(IdPlan, TheOrderOfTheSourcesDoesNotMatterWhenAllFit) {
  for_all(100, [](Gen& gen) {
    std::set<Id> set;
    for (int i = 0; i < 60; ++i) set.insert(gen.id());
    std::vector<Id> ids(set.begin(), set.end());
    World one(kPodmanMap), two(kPodmanMap);
    IdPlan const first = one.plan(ids);
    std::shuffle(ids.begin(), ids.end(), std::mt19937_64(gen.below(1000)));
    IdPlan const second = two.plan(ids);
    ASSERT_EQ(first.rows, second.rows);
    ASSERT_EQ(first.extents, second.extents);
  });
}

std::string random_map(Gen& gen) {
  std::string map = "0 1000 1\n";
  Id inside = 1;
  for (Id outside = 100000; gen.below(4) != 0;) {
    Id const count = 1 + gen.below(gen.below(2) ? 20 : 1200);
    inside += gen.below(3) ? 0 : gen.below(300);
    map +=
        std::to_string(inside) + " " + std::to_string(outside) + " " + std::to_string(count) + "\n";
    inside += count;
    outside += count + 5;
  }
  return map;
}

TEST(IdPlan, HoldsItsRulesWhateverIsWanted) {
  for_all(400, [](Gen& gen) {
    std::string const map = gen.below(3) == 0 ? kSeedMap : random_map(gen);
    Window const window = gen.below(2) ? Window{} : Window{gen.below(1200), gen.below(2500)};
    Collisions const mode = kModes[gen.below(3)];
    World world(map.c_str(), mode, window), other(map.c_str(), mode, window);
    world.slots.on_assign([&](LiveSlots::Assignment const& one) {
      ASSERT_TRUE(other.slots.restore(one.true_id, one.slot)) << one.true_id << " " << one.slot;
    });
    SCOPED_TRACE(map);
    std::map<Id, Id> for_ever;
    for (int round = 0; round < 4; ++round) {
      for (Id i = gen.below(100); i > 0; --i) world.slots.present(gen.id());
      std::vector<Id> wanted(gen.below(gen.below(2) ? 40 : 1200));
      for (Id& id : wanted) id = gen.below(200) == 0 ? kNoId : gen.id();
      Aliases const aliases = gen.below(2) ? Aliases::all : Aliases::none;
      IdPlan const plan = world.plan(wanted, gen.below(4) != 0, aliases);
      expect_writable(plan, world.pool);
      expect_accounted(plan, wanted);
      if (testing::Test::HasFatalFailure()) return;
      for (IdPlan::Row const& row : plan.rows)
        ASSERT_EQ(for_ever.emplace(row.true_id, row.slot).first->second, row.slot);
      for (IdPlan::Row const& row : plan.rows) {
        ASSERT_EQ(world.slots.present(row.true_id), row.slot);
        ASSERT_EQ(world.slots.truth(row.slot), row.true_id);
        ASSERT_EQ(other.slots.present(row.true_id), row.slot) << "another process";
      }
    }
  });
}

TEST(IdPlan, SlotsThatNobodyPlannedHaveAliases) {
  World world(kSeedMap);
  IdPlan const plan = world.plan({60000, 1000}, true, Aliases::all);
  EXPECT_EQ(map_text(plan.extents),
            "0 0 1\n1 1 1000\n1999 1999 1\n60000 1633 1\n65534 65534 2\n"
            "2130707433 1001 632\n2130708066 1634 365\n");
  EXPECT_EQ(plan.rows, (std::vector<IdPlan::Row>{{1000, 1000, true}, {60000, 1633, true}}));
  EXPECT_EQ(plan.slot_of(kAliasBase + 1634), 1634u);
  EXPECT_FALSE(plan.maps(kAliasBase + 1633)) << "60000 has that slot";
  EXPECT_EQ(plan.extents.size(), world.plan({60000, 1000}).extents.size() + 2);
}

TEST(IdPlan, AnIdAmongTheAliasesIsItself) {
  World world(kSeedMap);
  Id const id = kAliasBase + 1500;
  IdPlan const plan = world.plan({id, kAliasBase + 1501}, true, Aliases::all);
  expect_writable(plan, world.pool);
  Id const slot = world.slots.present(id);
  EXPECT_EQ(plan.slot_of(id), slot);
  EXPECT_EQ(world.slots.truth(slot), id);
  if (slot != 1500) EXPECT_EQ(plan.slot_of(kAliasBase + slot), std::nullopt);
  for (Extent const& e : plan.extents)
    EXPECT_TRUE(e.outside > 1500 || e.outside + e.count <= 1500) << "no alias is left for 1500";
}

TEST(IdPlan, AliasesComeLast) {
  World world(kSeedMap);
  std::vector<Id> const ids = every_other(100000, 330);  // 330 lines of the 340
  IdPlan const without = world.plan(ids);
  IdPlan const with = world.plan(ids, true, Aliases::all);
  expect_writable(with, world.pool);
  EXPECT_EQ(with.rows, without.rows);
  EXPECT_EQ(with.left_out, without.left_out);
  World one(kSeedMap);
  one.plan({60000});
  one.plan({70000});
  IdPlan const second = one.plan({70000}, true, Aliases::all);
  EXPECT_EQ(second.slot_of(kAliasBase + 1633), 1633u) << "60000's, who may come";
}

TEST(IdPlan, NoAliasesWhereThereIsNothingToGive) {
  World one_id("0 1000 1\n");
  EXPECT_EQ(map_text(one_id.plan({60000}, true, Aliases::all).extents), "0 0 1\n");
  IdPlan const full = plan_ids(Pool::full(), one_id.slots, std::vector<Id>{5}, true, Aliases::all);
  EXPECT_TRUE(full.identity);
}

TEST(IdPlan, ALookChangesNothing) {
  World world(kSeedMap);
  world.slots.present(1633);
  LiveSlots trial = world.slots.trial();
  plan_ids(world.pool, trial, std::vector<Id>{60000, 70000});
  EXPECT_TRUE(world.slots.assignments().empty());
}

}  // namespace
}  // namespace identity
