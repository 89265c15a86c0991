// The verb map: what it knows of an id, and as a user runs it.
#include "cli/map_verb.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/program.hpp"

namespace {

using cli::MappedId;
using identity::Collisions;
using identity::Id;
using identity::kNoId;
using State = cli::MappedId::State;
using testing::HasSubstr;

constexpr const char* kSeedMap = "0 0 1\n1 1 1999\n65534 2000 2\n";

struct World {
  identity::Pool pool;
  identity::LiveSlots slots;
  explicit World(const char* map = kSeedMap, Collisions mode = Collisions::native)
      : pool(identity::Pool::parse(map).value()),
        slots(pool, pool.hash_range(), identity::Rule::wide, {}, mode) {}
  MappedId operator()(Id id) { return cli::look_up(pool, slots, identity::Rule::wide, id); }
};

TEST(Map, WhatBecomesOfAnId) {
  World world;
  MappedId one = world(60000);
  EXPECT_EQ(one.hash_slot, 1633u);
  EXPECT_EQ(one.slot, 1633u);
  EXPECT_EQ(one.state, State::planned);
  EXPECT_EQ(world.slots.assignments().size(), 0u) << "a look assigns nothing";
  world.slots.claim(60000);
  EXPECT_EQ(world(60000).state, State::assigned);
  one = world(5001);  // the same hash
  EXPECT_EQ(one.slot, 1634u);
  EXPECT_FALSE(one.first_choice);
  EXPECT_EQ(one.taken_by, 60000u);
  EXPECT_EQ(one.same_hash, std::vector<Id>{60000});
  one = world(1633);
  EXPECT_EQ(one.taken_by, 60000u);
  EXPECT_NE(one.slot, 1633u);
  EXPECT_EQ(one.shown, 1633u) << "itself until it is planned";
  world.slots.claim(1633);
  EXPECT_EQ(world(1633).shown, world(1633).slot);
  EXPECT_EQ(world(33).state, State::itself);
  EXPECT_EQ(world(65534).slot, 65534u);
  EXPECT_EQ(world(0).slot, 0u);
}

TEST(Map, WhatIsShownIsWhatIsPresented) {
  for (Collisions mode : {Collisions::native, Collisions::separate, Collisions::share}) {
    for (const char* map :
         {kSeedMap, "0 1000 1\n1 100000 2001\n", "0 1000 1\n", "0 0 65\n", "0 0 4294967295\n"}) {
      World world(map, mode);
      for (Id id : {60000u, 5001u, 1633u, 2000u, 0u, 33u, 65534u, 65535u, 4294967294u, 1999u}) {
        SCOPED_TRACE(std::string(map) + std::to_string(id));
        Id before = world(id).shown;
        ASSERT_EQ(before, world.slots.present(id));
        ASSERT_EQ(world(id).shown, before);
        if (id % 3 == 0) world.slots.claim(id);
      }
    }
  }
}

TEST(Map, NoSlotLeft) {
  World world;
  for (Id id = 100000; id < 100999; ++id) world.slots.present(id);
  EXPECT_EQ(world(60000).state, State::none);
  EXPECT_EQ(world(60000).slot, kNoId);
  EXPECT_EQ(world(60000).shown, 65534u);
}

TEST(Map, IdsAreChecked) {
  for (const char* wrong : {"4294967295", "-1", "1.5", "18446744073709551616", "root", "5-1"}) {
    auto ended = run_program({"map", "--", wrong}, {});
    EXPECT_NE(ended.code, 0) << wrong;
    EXPECT_THAT(ended.err, HasSubstr("usernetes-identity: ")) << wrong;
    EXPECT_EQ(ended.out, "") << wrong;
  }
  EXPECT_THAT(run_program({"map", "4294967295"}, {}).err, HasSubstr("4294967295"));
}

// Whoever runs the tests has some pool; root's of the machine maps everything.
TEST(Map, AsAUserRunsIt) {
  TemporaryDirectory runtime;
  std::string environment = "XDG_RUNTIME_DIR=" + runtime.path().string();
  auto ended = run_program({"map", "--json", "0", "60000-60001"}, {environment});
  ASSERT_EQ(ended.code, 0) << ended.err;
  auto json = nlohmann::json::parse(ended.out, nullptr, false);
  ASSERT_EQ(json["ids"].size(), 3u) << ended.out;
  EXPECT_EQ(json["ids"][0]["slot"], 0);
  EXPECT_EQ(json["ids"][1]["id"], 60000);
  EXPECT_EQ(json["kind"], "uid");
  ended = run_program({"map", "--gid", "--slot", "0"}, {environment});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("itself"));
}

}  // namespace
