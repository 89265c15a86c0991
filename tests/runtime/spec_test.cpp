// Reading ids and namespaces from what an engine, or somebody in its place, wrote.
#include "runtime/spec.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace {

using oci::Json;

std::string refusal(const std::string& text) {
  auto json = oci::parse_object(text, "c.json");
  if (!json) return json.error().message;
  auto spec = oci::read_spec(*json, "c.json");
  return spec ? "read" : spec.error().message;
}

std::string user(const std::string& text) {
  return refusal("{\"process\":{\"user\":{" + text + "}}}");
}

TEST(Spec, AsPodmanWritesIt) {
  auto json = oci::parse_object(R"({"ociVersion":"1.0.2-dev",
    "process":{"user":{"uid":60000,"gid":0,"umask":18,"additionalGids":[42,60000]},"args":["sh"]},
    "root":{"path":"/s/merged"},"hostname":"x",
    "mounts":[{"destination":"/dev/pts","type":"devpts","options":["newinstance","gid=5"]},
              {"destination":"/t","type":"tmpfs","options":["uid=70000","gid=70001","mode=700"]}],
    "annotations":{"org.usernetes.identity.ids":"1,2"},
    "linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/proc/5/ns/net"}]}})",
                                "c.json");
  ASSERT_TRUE(json);
  auto spec = oci::read_spec(*json, "c.json");
  ASSERT_TRUE(spec) << spec.error().message;
  ASSERT_EQ(spec->uids.size(), 2u);
  EXPECT_EQ(spec->uids[0].id, 60000u);
  EXPECT_EQ(spec->uids[0].key, "process.user.uid");
  EXPECT_EQ(spec->uids[1].id, 70000u);
  ASSERT_EQ(spec->gids.size(), 4u);
  EXPECT_EQ(spec->gids[2].key, "process.user.additionalGids[1]");
  EXPECT_EQ(spec->gids[3].id, 70001u);
  EXPECT_EQ(spec->terminal_gids, std::vector<oci::Id>{5});
  EXPECT_EQ(spec->root, "/s/merged");
  EXPECT_EQ(spec->ids, "1,2");
  EXPECT_EQ(spec->users, oci::Spec::Users::none);
  ASSERT_EQ(spec->namespaces.size(), 2u);
  EXPECT_EQ(spec->namespaces[1].path, "/proc/5/ns/net");
  EXPECT_FALSE(spec->sandbox);
}

TEST(Spec, AnIdIsAWholeNumberBelow4294967295) {
  const std::string rest = "; an id is a whole number from 0 to 4294967294";
  EXPECT_EQ(user("\"uid\":4294967294,\"gid\":0"), "read");
  EXPECT_EQ(user("\"uid\":4294967295"), "c.json: process.user.uid is 4294967295" + rest);
  EXPECT_EQ(user("\"uid\":18446744073709551615"),
            "c.json: process.user.uid is 18446744073709551615" + rest);
  EXPECT_EQ(user("\"uid\":1e3"), "c.json: process.user.uid is 1000.0" + rest);
  EXPECT_EQ(user("\"gid\":-1"), "c.json: process.user.gid is -1" + rest);
  EXPECT_EQ(user("\"gid\":\"5\""), "c.json: process.user.gid is \"5\"" + rest);
  EXPECT_EQ(user("\"additionalGids\":[1,2.0]"),
            "c.json: process.user.additionalGids[1] is 2.0" + rest);
  EXPECT_EQ(user("\"additionalGids\":{}"), "c.json: process.user.additionalGids is not a list");
  EXPECT_EQ(user("\"uid\":18446744073709551616").substr(0, 30), "c.json: process.user.uid is 1.");
}

TEST(Spec, ShapesThatAreWrongAreNamed) {
  EXPECT_EQ(refusal("{}"), "read");
  EXPECT_EQ(refusal(R"({"process":null,"linux":null,"mounts":null})"), "read");
  EXPECT_EQ(refusal(R"({"process":[]})"), "c.json: process is not an object");
  EXPECT_EQ(refusal(R"({"root":{"path":7}})"), "c.json: root.path is not a text");
  EXPECT_EQ(refusal("{\"root\":{\"path\":\"a\\u0000b\"}}"), "c.json: root.path has a NUL in it");
  EXPECT_EQ(refusal(R"({"mounts":[1]})"), "c.json: mounts[0] is not an object");
  EXPECT_EQ(refusal(R"({"linux":{"namespaces":[[]]}})"),
            "c.json: linux.namespaces[0] is not an object");
  EXPECT_EQ(refusal(R"({"mounts":[{"type":"tmpfs","options":["uid=x"]}]})"),
            "c.json: mounts[0] (tmpfs): the option uid=x is no id");
  EXPECT_EQ(refusal(R"({"annotations":{"org.usernetes.identity.ids":5}})"),
            "c.json: annotations.org.usernetes.identity.ids is not a text");
}

TEST(Spec, AKeyInOtherLettersIsRefused) {
  EXPECT_EQ(refusal(R"({"process":{},"Process":{"user":{"uid":5}}})"),
            "c.json: Process: the key is written process");
  EXPECT_EQ(refusal(R"({"process":{"user":{"UID":5}}})"),
            "c.json: process.user.UID: the key is written uid");
  EXPECT_EQ(refusal(R"({"linux":{"Namespaces":[]}})"),
            "c.json: linux.Namespaces: the key is written namespaces");
}

TEST(Spec, AnEnginesUserNamespaceIsSeen) {
  auto users = [](const std::string& text) {
    return oci::read_spec(*oci::parse_object(text, "c"), "c")->users;
  };
  EXPECT_EQ(users(R"({"linux":{"namespaces":[{"type":"user"}]}})"), oci::Spec::Users::engine);
  EXPECT_EQ(users(R"({"linux":{"uidMappings":[{}]}})"), oci::Spec::Users::engine);
  EXPECT_EQ(users(R"({"linux":{"uidMappings":[]}})"), oci::Spec::Users::none);
  // an annotation alone does not make it ours
  EXPECT_EQ(users(R"({"linux":{"namespaces":[{"type":"user"}]},
                      "annotations":{"org.usernetes.identity.mode":"map",
                                     "org.usernetes.identity.maps":"0"}})"),
            oci::Spec::Users::engine);
}

TEST(Spec, SandboxesAreKnown) {
  auto sandbox = [](const std::string& text) {
    return oci::read_spec(*oci::parse_object(text, "c"), "c")->sandbox;
  };
  EXPECT_TRUE(sandbox(R"({"annotations":{"io.kubernetes.cri.container-type":"sandbox"}})"));
  EXPECT_TRUE(sandbox(R"({"annotations":{"io.kubernetes.cri-o.ContainerType":"sandbox"}})"));
  EXPECT_TRUE(sandbox(R"({"process":{"args":["/catatonit","-P"]}})"));
  EXPECT_TRUE(sandbox(R"({"process":{"args":["/pause"]}})"));
  EXPECT_TRUE(sandbox(R"({"process":{"args":["pause"]}})"));
  EXPECT_FALSE(sandbox(R"({"process":{"args":["/catatonit","--","sh"]}})"));
  EXPECT_FALSE(sandbox(R"({"annotations":{"io.kubernetes.cri.container-type":"container"}})"));
}

TEST(Spec, ProcessOfExec) {
  auto ids = oci::read_process(*oci::parse_object(R"({"user":{"uid":7,"gid":8}})", "p"), "p");
  ASSERT_TRUE(ids);
  EXPECT_EQ(ids->uids[0].key, "user.uid");
  EXPECT_EQ(ids->gids[0].id, 8u);
  auto wrong = oci::read_process(*oci::parse_object(R"({"user":{"uid":-7}})", "p"), "p");
  EXPECT_FALSE(wrong);
  auto option = oci::read_user_option("60000:42", {"7", "x"});
  EXPECT_EQ(option.uids[0].id, 60000u);
  ASSERT_EQ(option.gids.size(), 2u);
  EXPECT_TRUE(oci::read_user_option("postgres", {}).uids.empty());
}

}  // namespace
