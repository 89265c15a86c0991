#include "images/accounts.hpp"

#include <gmock/gmock.h>

#include "images/rootfs.hpp"
#include "tests/images/tree.hpp"

namespace {

using images::FoundIds;
using images::Id;
using images::Weight;
using testing::ElementsAre;
using testing::HasSubstr;

FoundIds accounts(const Tree& tree) {
  auto found = images::read_accounts(tree.fd());
  EXPECT_TRUE(found) << (found ? "" : found.error().message);
  return found ? *found : FoundIds{};
}

TEST(Accounts, OfAnImage) {
  Tree tree;
  tree.file(
      "etc/passwd",
      "root:x:0:0:root:/root:/bin/sh\n# none\n\n+nis::\nmail:x:8:12::/:\nhigh:x:60000:70000::/:");
  tree.file("etc/group", "root:x:0:\nstaff:x:50:a,b\r\n");
  tree.file("etc/subuid", "mail:200000:2\n");
  tree.file("etc/subgid", "mail:300000:65536\n");
  FoundIds found = accounts(tree);
  EXPECT_THAT(found.uids.by_importance(), ElementsAre(0, 8, 60000, 200000, 200001));
  EXPECT_THAT(found.gids.by_importance(), ElementsAre(0, 12, 50, 70000));
  EXPECT_EQ(found.uids.facts().at(8).origin, "/etc/passwd:5 mail");
  EXPECT_EQ(found.uids.facts().at(200000).weight, Weight::subid);
  EXPECT_EQ(found.gids.facts().at(0).count, 2u);
  EXPECT_THAT(found.notes, ElementsAre(HasSubstr("/etc/subgid:1: the range of 65536 ids")));
}

TEST(Accounts, NothingThereIsNothing) {
  Tree tree;
  EXPECT_EQ(accounts(tree), FoundIds{});
  EXPECT_FALSE(images::read_accounts(-1));
}

TEST(Accounts, WrongIdsAreNamedByLine) {
  Tree tree;
  tree.file("etc/passwd",
            "a:x:-1:5::\nb:x:1.5:5::\nc:x:18446744073709551616:5::\n"
            "d:x:4294967295:5::\ne:x:007:0008::\nf\n:x: 4:1\n");
  FoundIds found = accounts(tree);
  EXPECT_THAT(found.uids.by_importance(), ElementsAre(7));
  EXPECT_THAT(found.gids.by_importance(), ElementsAre(8));
  EXPECT_THAT(
      found.notes,
      ElementsAre(HasSubstr("/etc/passwd:1: uid \"-1\""), HasSubstr("/etc/passwd:2: uid \"1.5\""),
                  HasSubstr("/etc/passwd:3: uid \"18446744073709551616\""),
                  HasSubstr("/etc/passwd:4: uid \"4294967295\""),
                  HasSubstr("/etc/passwd:6: uid \"\""), HasSubstr("/etc/passwd:7: uid \" 4\"")));
}

TEST(Accounts, ALinkOutOfTheRootLeadsNowhere) {
  Tree outside, tree;
  outside.file("secret", "spy:x:4242:4242::/:\n");
  outside.file("etc/shared", "");
  tree.link("etc/passwd", (outside.path() / "secret").string());
  tree.link("etc/group", "../../../../../../../../etc/group");  // ends at the root itself
  FoundIds found = accounts(tree);
  EXPECT_TRUE(found.uids.facts().empty());
  EXPECT_THAT(found.notes, ElementsAre(HasSubstr("/etc/group: ")));  // a link to itself
  Tree usual;  // as in some images: within the root links are followed, absolute ones too
  usual.file("usr/etc/passwd", "in:x:77:77::/:\n");
  usual.link("etc/passwd", "/usr/etc/passwd");
  EXPECT_THAT(accounts(usual).uids.by_importance(), ElementsAre(77));
}

TEST(Accounts, WhatIsNoRegularFileIsNotOpened) {
  Tree tree;
  tree.fifo("etc/passwd");
  tree.directory("etc/group");
  tree.link("etc/subuid", "/proc/self/fd/0");
  EXPECT_THAT(accounts(tree).notes, ElementsAre("/etc/passwd: is not a regular file",
                                                "/etc/group: is not a regular file"));
}

TEST(Accounts, AHugeFileIsReadOnlyToItsLimit) {
  Tree tree;
  tree.file("etc/passwd", "root:x:0:0::/:\n");
  tree.enlarge("etc/passwd", 1ll << 30);
  tree.file("etc/group", std::string(100000, 'a') + "\nlast:x:9:\n");
  FoundIds found = accounts(tree);
  EXPECT_THAT(found.uids.by_importance(), ElementsAre(0));
  EXPECT_THAT(found.gids.by_importance(), ElementsAre(0, 9));
  EXPECT_THAT(found.notes,
              ElementsAre("/etc/passwd: is larger than 16 MiB; the rest was not read",
                          HasSubstr("/etc/group:1: the line is longer than 4096 bytes")));
}

TEST(Accounts, MoreIdsThanAnyMapIsBounded) {
  Tree tree;
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "u:x:" + std::to_string(i) + ":0::\n";
  tree.file("etc/passwd", text);
  FoundIds found = accounts(tree);
  EXPECT_EQ(found.uids.facts().size(), images::Found::kMost);
  EXPECT_EQ(found.uids.dropped(), 100000u - images::Found::kMost);
  found.uids.add(3000000000, Weight::asked, "--id");  // what somebody asked for has room always
  EXPECT_EQ(found.uids.by_importance().front(), 3000000000);
}

}  // namespace
