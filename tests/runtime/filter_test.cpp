// What becomes of a seccomp profile: nothing that it denies is let through, every call of ours that
// it allows is asked for, and no other one.
#include "runtime/filter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <random>

namespace {

using oci::Compare;
using oci::Group;
using oci::Json;
using oci::Watch;
using testing::ElementsAre;

using Arguments = std::array<std::uint64_t, 6>;

bool holds(const Group& group, const Arguments& args) {
  return std::all_of(group.begin(), group.end(), [&](const Compare& one) {
    return (args[one.argument] & one.mask) == one.value;
  });
}

bool holds(const Json& rule, const Arguments& args) {
  if (!rule.contains("args") || rule["args"].is_null()) return true;
  for (const Json& one : rule["args"]) {
    std::uint64_t is = args[one["index"].get<unsigned>()], value = one["value"];
    bool masked = one["op"] == "SCMP_CMP_MASKED_EQ";
    if (masked ? (is & value) != one["valueTwo"].get<std::uint64_t>() : is != value) return false;
  }
  return true;
}

// As libseccomp judges: a rule without arguments wins over those with, whatever they say.
std::string judge(const Json& profile, const std::string& name, const Arguments& args) {
  std::optional<std::string> found;
  for (const Json& rule : profile["syscalls"]) {
    auto names = rule["names"].get<std::vector<std::string>>();
    if (std::find(names.begin(), names.end(), name) == names.end() || !holds(rule, args)) continue;
    bool always = !rule.contains("args") || rule["args"].empty();
    std::string action = rule["action"];
    if (always) return action;
    if (found && *found != action) return "two rules: " + *found + " and " + action;
    found = action;
  }
  return found.value_or(profile["defaultAction"].get<std::string>());
}

constexpr std::uint64_t kInt = 0xffffffff;

Watch wanted() {
  return {{{"setuid", false, {}},
           {"getsockopt", false, {{{1, kInt, 1}, {2, kInt, 17}}, {{1, kInt, 1}, {2, kInt, 59}}}},
           {"clone", false, {{{0, 0x10000000, 0x10000000}}}},
           {"io_uring_setup", true, {}}},
          "/run/x/seccomp.sock",
          "{}",
          false};
}

Json strict() {
  return Json::parse(R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,
    "architectures":["SCMP_ARCH_X86_64"],"syscalls":[
    {"names":["read","setuid","getsockopt","io_uring_setup"],"action":"SCMP_ACT_ALLOW","args":[]},
    {"names":["clone"],"action":"SCMP_ACT_ALLOW",
     "args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]},
    {"names":["mount"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]})");
}

TEST(Filter, OfAStrictProfile) {
  Json profile = strict();
  EXPECT_THAT(oci::watch_profile(profile, wanted()), ElementsAre("clone"));
  EXPECT_EQ(judge(profile, "read", {}), "SCMP_ACT_ALLOW");
  EXPECT_EQ(judge(profile, "setuid", {7}), "SCMP_ACT_NOTIFY");
  EXPECT_EQ(judge(profile, "mount", {}), "SCMP_ACT_ERRNO");
  EXPECT_EQ(judge(profile, "chown", {}), "SCMP_ACT_ERRNO");
  EXPECT_EQ(judge(profile, "io_uring_setup", {}), "SCMP_ACT_ERRNO");
  EXPECT_EQ(judge(profile, "clone", {0x10000000}), "SCMP_ACT_ERRNO") << "it was denied";
  EXPECT_EQ(judge(profile, "clone", {17}), "SCMP_ACT_ALLOW");
  EXPECT_EQ(judge(profile, "getsockopt", {3, 1, 17}), "SCMP_ACT_NOTIFY");
  EXPECT_EQ(judge(profile, "getsockopt", {3, 0x700000001, 59}), "SCMP_ACT_NOTIFY");
  EXPECT_EQ(judge(profile, "getsockopt", {3, 1, 4}), "SCMP_ACT_ALLOW");
  EXPECT_EQ(judge(profile, "getsockopt", {3, 1, 25}), "SCMP_ACT_NOTIFY") << "a bit too much";
  EXPECT_EQ(judge(profile, "getsockopt", {3, 6, 17}), "SCMP_ACT_ALLOW");
  EXPECT_EQ(profile["listenerPath"], "/run/x/seccomp.sock");
  for (const Json& rule : profile["syscalls"])
    if (rule["names"][0] == "io_uring_setup") EXPECT_EQ(rule["errnoRet"], 38);
}

TEST(Filter, ADenialIsNoQuestion) {
  Json profile = strict();
  profile["syscalls"] = Json::parse(R"([
    {"names":["getsockopt"],"action":"SCMP_ACT_ALLOW"},
    {"names":["setuid"],"action":"SCMP_ACT_ERRNO","errnoRet":13}])");
  oci::watch_profile(profile, wanted());
  EXPECT_EQ(judge(profile, "setuid", {}), "SCMP_ACT_ERRNO");
  profile["defaultAction"] = "SCMP_ACT_ALLOW";
  oci::watch_profile(profile, wanted());
  EXPECT_EQ(judge(profile, "setuid", {}), "SCMP_ACT_ERRNO");
}

TEST(Filter, ABundleWithoutProfile) {
  Json config = Json::parse(R"({"process":{}})");
  EXPECT_FALSE(oci::has_listener(config));
  EXPECT_TRUE(oci::watch(config, wanted()).empty());
  EXPECT_TRUE(oci::has_listener(config));
  const Json& profile = config["linux"]["seccomp"];
  EXPECT_FALSE(profile["architectures"].empty()) << "runc 1.1 wants them";
  EXPECT_EQ(judge(profile, "read", {}), "SCMP_ACT_ALLOW");
  EXPECT_EQ(judge(profile, "setuid", {}), "SCMP_ACT_NOTIFY");
  EXPECT_EQ(judge(profile, "io_uring_setup", {}), "SCMP_ACT_ERRNO");
  EXPECT_EQ(judge(profile, "getsockopt", {0, 1, 59}), "SCMP_ACT_NOTIFY");
  EXPECT_EQ(judge(profile, "getsockopt", {0, 1, 58}), "SCMP_ACT_ALLOW");
}

TEST(Filter, DockersFormKeepsItsTerms) {
  Json profile = Json::parse(R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"syscalls":[
    {"name":"setuid","action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SETUID"]},"errnoRet":null},
    {"names":["io_uring_setup"],"action":"SCMP_ACT_ALLOW"}]})");
  oci::watch_profile(profile, wanted());
  ASSERT_EQ(profile["syscalls"].size(), 1u) << "the default says ENOSYS already";
  EXPECT_EQ(profile["syscalls"][0]["includes"]["caps"][0], "CAP_SETUID");
  EXPECT_EQ(profile["syscalls"][0]["action"], "SCMP_ACT_NOTIFY");
  EXPECT_FALSE(profile["syscalls"][0].contains("errnoRet"));
}

TEST(Filter, OddShapesAreLeftOut) {
  for (const char* text : {R"({"linux":{"seccomp":[]}})", R"({"linux":7})",
                           R"({"linux":{"seccomp":{"syscalls":[1,{"names":7},{"names":["setuid"]},
                              {"names":[7,"setuid"],"action":3}]}}})",
                           R"({"linux":{"seccomp":{"defaultAction":5,"syscalls":{}}}})"}) {
    Json config = Json::parse(text);
    (void)oci::has_listener(config);
    oci::watch(config, wanted());
    EXPECT_TRUE(config["linux"]["seccomp"]["syscalls"].is_array()) << text;
  }
}

TEST(Filter, WiderAndTheRestAreAll) {
  std::mt19937_64 random(7);
  auto below = [&](std::uint64_t n) { return random() % n; };
  for (int round = 0; round < 300; ++round) {
    std::vector<Group> any(1 + below(3));
    for (Group& group : any)
      for (unsigned argument = 0; argument < 3; ++argument) {
        if (below(3) == 0) continue;
        std::uint64_t mask = below(2) ? 7 : below(2) ? 5 : 0x10000002;
        group.push_back({argument, mask, random() & mask});
      }
    const Group wide = oci::wider(any);
    const auto rest = oci::rest_of(wide);
    ASSERT_LE(rest.size(), 12u);
    for (int i = 0; i < 200; ++i) {
      Arguments args{below(8), below(8) | (below(2) << 28), below(8) | (below(2) << 28)};
      auto count = [&](const std::vector<Group>& all) {
        return std::count_if(all.begin(), all.end(), [&](auto& g) { return holds(g, args); });
      };
      ASSERT_EQ(count(rest), holds(wide, args) ? 0 : 1) << round;
      if (count(any) > 0) ASSERT_TRUE(holds(wide, args)) << round;
    }
  }
}

}  // namespace
