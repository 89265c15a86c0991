// What the verb plan says, and its options; images are read by tests/images and tests/e2e.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/plan_report.hpp"
#include "tests/cli/program.hpp"

namespace {

using cli::PlanReport;
using identity::LeftOut;
using images::Weight;
using testing::HasSubstr;
using testing::Not;

PlanReport report() {
  PlanReport report;
  report.uids = *identity::Pool::parse("0 1000 1\n1 100000 2001\n");
  report.gids = report.uids;
  report.sources = {{"hi", "podman image", 3, 2}, {"x\x1b[31m.tar", "OCI archive", 1, 0}};
  auto& uids = report.found.uids;
  uids.add(1633, Weight::account, "/etc/passwd:7 low");
  uids.add(60000, Weight::owner, "owner of /evil\x1b[2Jname\n", 3);
  for (identity::Id id = 1000; id <= 1015; ++id) uids.add(id, Weight::ordinary, "usual");
  for (identity::Id id = 70000; id < 70400; ++id) uids.add(id, Weight::asked, "--id");
  uids.add(80000, Weight::process, "--user");
  report.found.note("odd \x1b thing");
  auto& plan = report.planned.uids;
  plan.rows = {{0, 0, true}, {1633, 1633, true}, {60000, 1634, false}};
  for (identity::Id id = 1000; id <= 1015; ++id) plan.rows.push_back({id, id, true});
  for (identity::Id id = 70000; id < 70400; ++id) plan.left_out.push_back({id, LeftOut::lines});
  plan.left_out.push_back({80000, LeftOut::no_slot});
  plan.rows.push_back({1185200044, 1700, false});  // its hash slot is 818
  plan.rows.push_back({1000000, 1701, false});     // 1099
  plan.extents = {{0, 0, 1}, {1000, 1000, 16}, {1633, 1633, 1}, {60000, 1634, 1}};
  report.planned.gids.extents = {{0, 0, 1}};
  return report;
}

TEST(Plan, TextFoldsAndExplains) {
  const std::string text = report().text();
  EXPECT_THAT(text, HasSubstr("hi: podman image, 3 layers, 2 remembered\n"));
  EXPECT_THAT(text, HasSubstr("1000-1015  1000-1015  itself "));
  EXPECT_THAT(text, HasSubstr("not 1633, which is 1633's"));
  EXPECT_THAT(text, HasSubstr("not 818, which is outside the window"));
  EXPECT_THAT(text, HasSubstr("not 1099, which another has (map --slot 1099)"));
  EXPECT_THAT(text, HasSubstr("70000-70399  the map would have more than 340 lines"));
  EXPECT_THAT(text, HasSubstr("uid map, 4 lines, "));
  EXPECT_THAT(text, HasSubstr("  60000 1634 1\n"));
}

TEST(Plan, TextOfVeryManyIdsIsShort) {
  PlanReport many;
  for (identity::Id id = 0; id < 65536; ++id)
    many.planned.uids.left_out.push_back({id * 3, LeftOut::lines});
  const std::string text = many.text();
  EXPECT_LT(text.size(), 20'000u);
  EXPECT_THAT(text, HasSubstr("and 65436 more, which --json lists"));
}

TEST(Plan, NothingMovesTheCursor) {
  const std::string text = report().text();
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, HasSubstr("owner of /evil\\x1b[2Jname\\x0a (3 times)"));
}

TEST(Plan, WhatWasAskedForAndIsNotMapped) {
  const std::string text = report().unmapped();
  EXPECT_THAT(text, HasSubstr("uid 80000 (no slot"));
  EXPECT_THAT(text, HasSubstr("70000-70399 (the map would have"));
  PlanReport fine;
  EXPECT_EQ(fine.unmapped(), "");
}

TEST(Plan, Json) {
  auto json = nlohmann::json::parse(report().json());
  EXPECT_EQ(json["uids"]["map"][3], (nlohmann::json{60000, 1634, 1}));
  EXPECT_EQ(json["uids"]["not_mapped"].size(), 401u);
  for (const auto& row : json["uids"]["ids"])
    if (row["id"] == 60000) {
      EXPECT_EQ(row["preferred_is_of"], 1633);
      EXPECT_EQ(row["first_choice"], false);
    }
  EXPECT_EQ(json["map_needed"], true);
}

TEST(Plan, FlagsForPodman) {
  EXPECT_EQ(report().podman(),
            "--uidmap 0:0:1 --uidmap 1000:1000:16 --uidmap 1633:1633:1 --uidmap 60000:1634:1 "
            "--gidmap 0:0:1\n");
}

TEST(Plan, WrongOptions) {
  const std::pair<std::vector<std::string>, const char*> kWrong[] = {
      {{"plan", "--user", "postgres"}, "--user postgres: is not UID or UID:GID"},
      {{"plan", "--user", "1:-2"}, "is not UID or UID:GID"},
      {{"plan", "--id", "1,x"}, "--id: \"x\" is not an id"},
      {{"plan", "--groups", "4294967295"}, "--groups: 4294967295 is no id"},
  };
  for (const auto& [words, message] : kWrong) {
    Ended ended = run_program(words, {"HOME=/nonexistent"});
    EXPECT_EQ(ended.code, 1);
    EXPECT_EQ(ended.out, "");
    EXPECT_THAT(ended.err, HasSubstr(message));
  }
  EXPECT_EQ(run_program({"plan", "--json", "--podman"}, {}).code, 2);
  Ended ended = run_program({"plan", "--set", "runtime.ids=7-x"}, {"HOME=/nonexistent"});
  EXPECT_THAT(ended.err, HasSubstr("the setting runtime.ids: \"x\" is not an id"));
}

}  // namespace
