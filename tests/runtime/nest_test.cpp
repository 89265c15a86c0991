// What becomes of a bundle: new user namespace, joined user namespace, foreign namespaces.
#include "runtime/nest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runtime/entered.hpp"
#include "runtime/settings.hpp"
#include "runtime/spec.hpp"

namespace {

using oci::Json;
using testing::HasSubstr;

Json bundle() {
  return Json::parse(
      R"({"process":{"user":{"uid":60000,"gid":0},"rlimits":[{"hard":18446744073709551615}]},
    "hostname":"pod","x-unknown":{"kept":[1,null,"y"]},
    "mounts":[{"destination":"/proc","type":"proc","source":"proc","options":["nosuid"]},
      {"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","ro"]},
      {"destination":"/dev/pts","type":"devpts","options":["newinstance","gid=5","mode=0620"]},
      {"destination":"/dev/mqueue","type":"mqueue","source":"mqueue"},
      {"destination":"/v","type":"bind","source":"/srv"}],
    "linux":{"sysctl":{"net.ipv4.ping_group_range":"0 0","kernel.msgmax":"4096"},
      "namespaces":[{"type":"pid"},{"type":"network"},{"type":"ipc"},
                    {"type":"uts"},{"type":"mount"}]}})");
}

oci::Nesting nesting(std::set<std::string> foreign = {}, std::string join = {}) {
  return {{{0, 0, 1}, {60000, 1633, 1}}, {{0, 0, 6}}, std::move(join), std::move(foreign), {}};
}

std::vector<std::string> mounts(const Json& config) {
  std::vector<std::string> all;
  for (const Json& mount : config["mounts"])
    all.push_back(mount["type"].get<std::string>() + " " + mount["destination"].get<std::string>());
  return all;
}

TEST(Nest, ANewUserNamespaceAndNothingElse) {
  Json config = bundle(), before = config;
  auto edited = oci::nest(config, nesting());
  ASSERT_TRUE(edited);
  EXPECT_TRUE(edited->notes.empty());
  EXPECT_TRUE(edited->settings.empty());
  EXPECT_EQ(config["linux"]["namespaces"][0], Json({{"type", "user"}}));
  EXPECT_EQ(config["linux"]["namespaces"].size(), 6u);
  EXPECT_EQ(config["linux"]["uidMappings"][1],
            Json({{"containerID", 60000}, {"hostID", 1633}, {"size", 1}}));
  EXPECT_EQ(config["linux"]["gidMappings"].size(), 1u);
  EXPECT_EQ(config["annotations"]["org.usernetes.identity.mode"], "map");
  for (const char* key : {"process", "mounts", "hostname", "x-unknown"})
    EXPECT_EQ(config[key], before[key]) << key;
  EXPECT_EQ(config["linux"]["sysctl"], before["linux"]["sysctl"]);
}

TEST(Nest, WhatWasOursIsPlannedAnew) {
  Json config = bundle();
  ASSERT_TRUE(oci::nest(config, nesting()));
  auto spec = oci::read_spec(config, "c");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->users, oci::Spec::Users::ours);
  Json once = config;
  ASSERT_TRUE(oci::nest(config, nesting()));
  EXPECT_EQ(config, once);
  config["linux"]["uidMappings"][0]["size"] = 9;  // by somebody else
  EXPECT_EQ(oci::read_spec(config, "c")->users, oci::Spec::Users::engine);
}

TEST(Nest, AForeignNetworkGivesNoSysfs) {
  Json config = bundle();
  config["linux"]["namespaces"][1]["path"] = "/run/netns/a";
  auto edited = oci::nest(config, nesting({"network"}));
  ASSERT_TRUE(edited);
  EXPECT_EQ(config["mounts"][1], Json({{"destination", "/sys"},
                                       {"type", "bind"},
                                       {"source", "/sys"},
                                       {"options", {"rbind", "rprivate", "nosuid", "ro"}}}));
  ASSERT_EQ(edited->settings.size(), 1u);
  EXPECT_EQ(edited->settings[0].name, "net.ipv4.ping_group_range");
  EXPECT_EQ(edited->settings[0].type, "network");
  EXPECT_EQ(config["linux"]["sysctl"], Json({{"kernel.msgmax", "4096"}}));
}

TEST(Nest, AForeignIpcGivesNoMqueue) {
  Json config = bundle();
  auto edited = oci::nest(config, nesting({"ipc"}));
  ASSERT_TRUE(edited);
  EXPECT_EQ(mounts(config),
            (std::vector<std::string>{"proc /proc", "sysfs /sys", "devpts /dev/pts", "bind /v"}));
  EXPECT_EQ(edited->settings[0].name, "kernel.msgmax");
}

TEST(Nest, TheHostsOwnNamespacesAreForeignToo) {
  Json config = bundle();
  config["linux"]["namespaces"] = Json::array({{{"type", "mount"}}});
  auto edited = oci::nest(config, nesting());
  ASSERT_TRUE(edited);
  EXPECT_EQ(mounts(config),
            (std::vector<std::string>{"bind /proc", "bind /sys", "devpts /dev/pts", "bind /v"}));
  EXPECT_TRUE(edited->settings.empty());  // the runtime refuses them, in its own words
}

TEST(Nest, AForeignPidNamespaceIsRefused) {
  Json config = bundle();
  auto edited = oci::nest(config, nesting({"pid"}));
  ASSERT_FALSE(edited);
  EXPECT_THAT(edited.error().message, HasSubstr("joins a pid namespace"));
}

TEST(Nest, ASandboxesNamesAreLeft) {
  Json config = bundle();
  ASSERT_TRUE(oci::nest(config, nesting({"uts"})));
  EXPECT_FALSE(config.contains("hostname"));
}

TEST(Nest, AJoinedUserNamespaceHasAPath) {
  Json config = bundle();
  ASSERT_TRUE(oci::nest(config, nesting({}, "/proc/9/ns/user")));
  EXPECT_EQ(config["linux"]["namespaces"][0],
            Json({{"type", "user"}, {"path", "/proc/9/ns/user"}}));
  EXPECT_EQ(config["linux"]["uidMappings"].size(), 2u);
}

TEST(Nest, WhatIsEnteredIsNotListedAndComesBack) {
  Json config = bundle();
  config["linux"]["namespaces"][1]["path"] = "/run/netns/a";
  oci::Nesting entering = nesting({"network"});
  entering.entered = {"network"};
  ASSERT_TRUE(oci::nest(config, entering));
  EXPECT_EQ(config["linux"]["namespaces"].size(), 5u);
  EXPECT_EQ(config["annotations"][oci::kEnteredAnnotation], "{\"network\":\"/run/netns/a\"}");
  Json again = config;
  ASSERT_TRUE(oci::put_back(again, "c"));
  EXPECT_FALSE(again["annotations"].contains(oci::kEnteredAnnotation));
  EXPECT_EQ(oci::read_spec(again, "c")->users, oci::Spec::Users::ours);
  ASSERT_TRUE(oci::nest(again, entering));
  EXPECT_EQ(again["annotations"], config["annotations"]);
}

TEST(Nest, AWrongListOfEnteredNamespacesIsRefused) {
  for (const char* text : {"x", "", "{\"pid\":\"/p\"}", "{\"network\":1}", "[]"}) {
    Json config = bundle();
    config["annotations"][oci::kEnteredAnnotation] = text;
    EXPECT_FALSE(oci::put_back(config, "c")) << text;
  }
}

TEST(Nest, ATerminalsGroupThatIsNotMappedIsLeftOut) {
  Json config = bundle();
  oci::Nesting few = nesting();
  few.gids = {{0, 0, 5}};
  ASSERT_TRUE(oci::nest(config, few));
  EXPECT_EQ(config["mounts"][2]["options"], Json({"newinstance", "mode=0620"}));
}

TEST(Nest, NoLinuxPartAtAll) {
  Json config = Json::object();
  ASSERT_TRUE(oci::nest(config, nesting()));
  EXPECT_EQ(config["linux"]["namespaces"].size(), 1u);
}

TEST(Nest, SlotsForTheHook) {
  Json config = Json::parse(
      R"({"process":{"user":{"uid":60000,"gid":60000,"additionalGids":[42,60000,7]},"cwd":"/"}})");
  std::vector<std::pair<oci::Id, oci::Id>> uids{{60000, 1633}}, gids{{60000, 1700}, {42, 42}};
  oci::put_slots(config, uids, gids);
  EXPECT_EQ(config["process"]["user"],
            Json({{"uid", 1633}, {"gid", 1700}, {"additionalGids", {42, 1700, 7}}}));
  for (auto [sets, user] : {std::pair{oci::Sets::nothing, R"([60000, 60000, [42, 60000, 7]])"},
                            std::pair{oci::Sets::groups, R"([60000, 60000, [42, 1700, 7]])"}}) {
    Json other = Json::parse(
        R"({"process":{"user":{"uid":60000,"gid":60000,"additionalGids":[42,60000,7]}},
            "mounts":[{"type":"tmpfs","options":["uid=60000"]}]})");
    oci::put_slots(other, uids, gids, sets);
    const Json& who = other["process"]["user"];
    EXPECT_EQ(Json({who["uid"], who["gid"], who["additionalGids"]}), Json::parse(user));
    EXPECT_EQ(other["mounts"][0]["options"], Json({"uid=1633"}));
  }
  Json nothing = Json::object();
  oci::put_slots(nothing, uids, gids);
  EXPECT_TRUE(nothing.empty());
}

TEST(Settings, NamesBecomePathsThatStayThere) {
  EXPECT_EQ(oci::setting_path("net.ipv4.ip_forward"), "/proc/sys/net/ipv4/ip_forward");
  EXPECT_EQ(oci::setting_path("net.ipv4.conf.eth0/100.forwarding"),
            "/proc/sys/net/ipv4/conf/eth0.100/forwarding");
  EXPECT_EQ(oci::setting_path("net..x"), "");
  EXPECT_EQ(oci::setting_path("net.ipv4."), "");
  EXPECT_EQ(oci::setting_path("net./.x"), "");
  EXPECT_EQ(oci::setting_path("net.//.//.x"), "");
  EXPECT_EQ(oci::setting_path(""), "");
}

}  // namespace
