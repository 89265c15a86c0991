#include "images/image.hpp"

#include <gmock/gmock.h>

#include "images/manifests.hpp"
#include "images/pod_yaml.hpp"
#include "images/podman.hpp"
#include "tests/images/archives.hpp"
#include "tests/images/tree.hpp"

namespace {

using images::Weight;
using testing::ElementsAre;
using testing::HasSubstr;

std::string refusal_of(const std::string& yaml) {
  auto pod = images::parse_pod(yaml, "pod.yaml");
  return pod ? "it was read" : pod.error().message;
}

TEST(PodYaml, IdsWhereverTheyStand) {
  auto pod = images::parse_pod(R"(
apiVersion: v1
kind: Pod
metadata:
  annotations:
    org.usernetes.identity.ids: "90000, 90005-90006"
    other: "1"
spec:
  securityContext: {runAsUser: 60000, fsGroup: 60001, supplementalGroups: [42, 60002]}
  containers:
  - image: docker.io/library/hi
    name: runAsUser
    securityContext:
      runAsGroup: 70000
      runAsUser: null
---
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      securityContext:
        runAsUser: &who 61000
        supplementalGroups:
        - 43
      containers:
      - {image: hi:2, securityContext: {runAsUser: *who, runAsGroup: *who}}
)",
                               "pod.yaml");
  ASSERT_TRUE(pod) << pod.error().message;
  EXPECT_THAT(pod->found.uids.by_importance(), ElementsAre(60000, 61000, 90000, 90005, 90006));
  EXPECT_THAT(pod->found.gids.by_importance(),
              ElementsAre(42, 43, 60001, 60002, 61000, 70000, 90000, 90005, 90006));
  EXPECT_EQ(pod->found.uids.facts().at(60000).origin, "pod.yaml:9: runAsUser");
  EXPECT_EQ(pod->found.uids.facts().at(61000).count, 2u);
  EXPECT_THAT(pod->images, ElementsAre("docker.io/library/hi", "hi:2"));
}

TEST(PodYaml, JsonIsYaml) {
  auto pod = images::parse_pod(
      R"({"apiVersion": "v1", "spec": {"securityContext": {"runAsUser": 60000}}})", "p");
  EXPECT_THAT(pod->found.uids.by_importance(), ElementsAre(60000));
}

TEST(PodYaml, WrongIdsAreNamedByLine) {
  for (const char* bad :
       {"1.5", "-1", "18446744073709551616", "4294967295", "0x10", "1e5", "abc", "007"})
    EXPECT_EQ(
        refusal_of(std::string("a:\n  runAsUser: ") + bad + "\n"),
        "pod.yaml:2: runAsUser: \"" + std::string(bad) + "\" is not an id from 0 to 4294967294");
  EXPECT_THAT(refusal_of("supplementalGroups: [1, x]"),
              HasSubstr("pod.yaml:1: supplementalGroups: \"x\""));
  EXPECT_THAT(refusal_of("\n\norg.usernetes.identity.ids: 5-1"),
              HasSubstr("pod.yaml:3: org.usernetes.identity.ids: \"5-1\" ends before"));
  EXPECT_THAT(refusal_of("org.usernetes.identity.ids: 0-4294967294"), HasSubstr("more than 65536"));
  EXPECT_THAT(refusal_of("a: [\n"), HasSubstr("pod.yaml:2: "));
  EXPECT_THAT(refusal_of("a: *nobody\nb: }"), HasSubstr("pod.yaml:2: "));
}

TEST(PodYaml, Bombs) {
  EXPECT_THAT(refusal_of(std::string(100000, '[')), HasSubstr("pod.yaml:1: "));
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += std::string(i, ' ') + "a:\n";
  EXPECT_THAT(refusal_of(deep), HasSubstr("nested deeper than 100 levels"));
  // "A billion laughs": nothing is built of it.
  std::string laughs = "a0: &a0 [lol]\n";
  for (int i = 1; i < 50; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 0; j < 9; ++j) laughs += ", " + before;
    laughs += "]\n";
  }
  EXPECT_EQ(refusal_of(laughs + "runAsUser: 5\n"), "it was read");
  EXPECT_THAT(refusal_of(std::string(5 << 20, ' ')), HasSubstr("larger than 4 MiB"));
  std::string many;
  for (int i = 0; i < 600000; ++i) many += "- a\n";
  EXPECT_THAT(refusal_of(many), HasSubstr("more than 500000 parts"));
}

TEST(StorageConf, GraphRoot) {
  EXPECT_EQ(images::graphroot_of("[storage]\ngraphroot = \"/a b\"  # here\n"), "/a b");
  EXPECT_EQ(images::graphroot_of("graphroot = \"/a\"\n[storage.options]\ngraphroot='/b'\n"), "");
  EXPECT_EQ(images::graphroot_of("[storage]\ngraphroot='/a'\nrootless_storage_path = \"/r\""),
            "/r");
  EXPECT_EQ(images::graphroot_of("[storage]\nrootless_storage_path = \"$HOME/r\""), "");
  EXPECT_EQ(
      images::graphroot_of("[storage]\ngraphroot=\n#graphroot=\"/c\"\ngraphroot = \"unclosed"), "");
}

struct PodmanStorage : Tree {
  std::string low = std::string(64, '1'), top = std::string(64, '2'), id = std::string(64, 'a');
  PodmanStorage() {
    file("overlay-images/images.json",
         R"([{"id": ")" + id + R"(", "layer": ")" + top +
             R"(", "names": ["localhost/hi:latest", "docker.io/library/debian:12"]},
                {"id": "../../x", "layer": "y", "names": ["evil"]}])");
    file("overlay-layers/layers.json",
         R"([{"id": ")" + top + R"(", "parent": ")" + low + R"("}, {"id": ")" + low + R"("}])");
    // base64 of "sha256:aaa…"
    const std::string name =
        "c2hhMjU2OmFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"
        "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
    file("overlay-images/" + id + "/=" + name, R"({"config": {"User": "77777"}})");
    file("overlay/" + low + "/diff/etc/passwd", "old:x:11:11::/:\n");
    file("overlay/" + top + "/diff/etc/passwd", "new:x:22:22::/:\n");
    file("overlay/" + low + "/diff/f", "");
    attribute("overlay/" + low + "/diff/f", "user.usernetes.uid", "60000");
  }
  auto read(const std::string& name) const {
    return images::read_podman_image(name, {"/nowhere", path().string()}, {});
  }
};

TEST(Podman, ImagesByName) {
  PodmanStorage storage;
  for (const char* name : {"hi", "localhost/hi", "hi:latest", "debian:12", "library/debian:12",
                           "docker.io/library/debian:12", "aaaaaa", "sha256:aaaaaaaaa"}) {
    auto image = storage.read(name);
    ASSERT_TRUE(image && *image) << name;
    auto& uids = (*image)->found.uids.facts();
    EXPECT_TRUE(uids.contains(60000) && uids.contains(22) && !uids.contains(11)) << name;
    EXPECT_EQ(uids.at(77777).weight, Weight::process);
    EXPECT_EQ((*image)->layers, 2u);
  }
  for (const char* name : {"debian", "h", "aa", "evil", "none", "", "latest"})
    EXPECT_FALSE(*storage.read(name)) << name;
}

TEST(Podman, BrokenStorage) {
  PodmanStorage storage;
  storage.file("overlay-layers/layers.json",
               R"([{"id": ")" + storage.top + R"(", "parent": ")" + storage.top + R"("}])");
  auto image = storage.read("hi");  // a layer above itself
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().message, HasSubstr("the chain of layers ends at"));
  storage.file("overlay-images/images.json",
               R"([{"id": ")" + storage.id + R"(", "names": ["a/hi:latest"]}, {"id": ")" +
                   std::string(64, 'b') + R"(", "names": ["b/hi:latest"]}])");
  image = storage.read("hi");
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().message, HasSubstr("\"hi\" means several images"));
  storage.file("overlay-images/images.json", "nonsense");
  EXPECT_FALSE(*storage.read("hi"));
}

TEST(Image, EachKind) {
  Tree tree;
  tree.file("root/etc/passwd", "x:x:60000:60000::/:\n");
  tree.file("x.tar", archives::pack({{"f", "", 60000, AE_IFREG, {}}}));
  tree.file("pod.yaml", "runAsUser: 60000\n");
  tree.file("pod.json", "{\"apiVersion\": \"v1\", \"runAsUser\": 60000}");
  tree.file("bundle/config.json", R"({"root": {"path": "rootfs"}, "process": {"user":
      {"uid": 61000, "gid": 5, "additionalGids": [42, 4294967294]}}})");
  tree.file("bundle/rootfs/etc/passwd", "x:x:60000:60000::/:\n");
  const std::pair<const char*, const char*> kKinds[] = {{"root", "root directory"},
                                                        {"x.tar", "archive of a root directory"},
                                                        {"pod.yaml", "pod"},
                                                        {"pod.json", "pod"},
                                                        {"bundle", "bundle"}};
  for (auto [name, kind] : kKinds) {
    auto image = images::read_image(tree.path() / name, {});
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ(image->kind, kind);
    EXPECT_TRUE(image->found.uids.facts().contains(60000)) << name;
  }
  auto bundle = images::read_image(tree.path() / "bundle", {});
  EXPECT_EQ(bundle->found.uids.by_importance().front(), 61000u);
  EXPECT_EQ(bundle->found.gids.facts().at(4294967294).weight, Weight::process);
  auto prefixed =
      images::read_image("docker-archive:" + (tree.path() / "x.tar").string() + ":a:b", {});
  EXPECT_TRUE(prefixed);
  auto none = images::read_image("/none", {});
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("/none: there is no such directory"));
  tree.fifo("pipe");
  EXPECT_THAT(images::read_image(tree.path() / "pipe", {}).error().message,
              HasSubstr("regular file"));
}

TEST(BundleConfig, IdsThatAreNone) {
  for (const char* bad :
       {"1.5", "-1", "4294967295", "18446744073709551616", "\"7\"", "[]", "1e3"}) {
    const std::string text =
        std::string(R"({"root": {"path": "r"}, "process": {"user": {"uid": )") + bad + "}}}";
    auto config = images::parse_bundle_config(text, "config.json");
    ASSERT_FALSE(config) << bad;
    EXPECT_THAT(config.error().message, HasSubstr("config.json: process.user.uid "));
  }
}

}  // namespace
