#include "fusefs/owner_store.hpp"

#include <gtest/gtest.h>

#include "tests/fusefs/rig.hpp"

namespace fusefs {
namespace {

using fusefs_test::Layers;

class OwnerStoreTest : public testing::Test {
 protected:
  ring::at::Where where(const std::string& name) const { return {dir.get(), name}; }
  Facts read(const std::string& name, const OwnerStore& from) const {
    auto st = ring::at::stat(where(name));
    return st ? from.read(where(name), *st, true) : Facts{};
  }
  Facts read(const std::string& name) const { return read(name, store); }
  void make_file(const std::string& name) const {
    fusefs_test::write_file(layers.upper() + "/" + name, "x");
  }
  void set(const std::string& name, const char* key, std::string_view value) const {
    ASSERT_EQ(
        ::lsetxattr((layers.upper() + "/" + name).c_str(), key, value.data(), value.size(), 0), 0);
  }
  std::string sidecar(const std::string& name) const {
    return layers.upper() + "/" + OwnerStore::sidecar_name(name);
  }
  Layers layers;
  base::Fd dir{::open(layers.upper().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
  IdMapper uids = fusefs_test::mapper(), gids = fusefs_test::mapper();
  OwnerStore store{uids, gids};
  IdMapper one = fusefs_test::mapper("0 1000 1\n");
  OwnerStore poor{one, one};  // a pool of one id
};

TEST_F(OwnerStoreTest, RecordAndHashSlot) {
  make_file("f");
  ASSERT_TRUE(store.write(where("f"), S_IFREG, {60000, 500}, false));
  auto st = *ring::at::stat(where("f"));
  EXPECT_EQ(st.st_uid, 1633u);
  EXPECT_EQ(st.st_gid, 1303u);
  EXPECT_EQ(ring::at::get_xattr(where("f"), "user.usernetes.uid", 20).value_or("?"), "60000");
  EXPECT_EQ(read("f").owner, (Owner{60000, 500}));
  ASSERT_TRUE(store.write(where("f"), S_IFREG, {0, 0}, true));
  EXPECT_EQ(read("f").owner, (Owner{0, 0}));
  EXPECT_FALSE(read("f").visible_xattrs);
}

TEST_F(OwnerStoreTest, PriorityOfRecords) {
  make_file("f");
  set("f", "user.rootlesscontainers", std::string("\x08\x07\x10\x08", 4));
  EXPECT_EQ(read("f").owner, (Owner{7, 8}));
  set("f", "user.fuseoverlayfs.override_stat", "3:4:0100600");
  EXPECT_EQ(read("f").owner, (Owner{3, 4}));
  set("f", "user.containers.override_stat", "5:6:4755");
  EXPECT_EQ(read("f").owner, (Owner{5, 6}));
  set("f", "user.usernetes.uid", "60000");
  EXPECT_EQ(read("f").owner, (Owner{60000, 6}));
  EXPECT_EQ(read("f").override_stat->mode, 04755u);
  EXPECT_FALSE(read("f").corrupt);
}

TEST_F(OwnerStoreTest, CorruptRecordsAreNotBelieved) {
  const std::string_view values[] = {"",   "abc", "-1", "4294967295", "4294967296",
                                     "00", "1 ",  " 1", "1\n",        std::string_view("1\0", 2)};
  make_file("f");
  for (std::string_view value : values) {
    set("f", "user.usernetes.uid", value);
    EXPECT_EQ(read("f").owner.uid, 0u) << value;
    EXPECT_TRUE(read("f").corrupt) << value;
  }
  set("f", "user.usernetes.uid", std::string(1000, '1'));
  EXPECT_TRUE(read("f").corrupt);
}

TEST_F(OwnerStoreTest, SidecarOfASpecialFile) {
  ASSERT_EQ(::symlink("nowhere", (layers.upper() + "/l").c_str()), 0);
  EXPECT_EQ(read("l").owner, (Owner{0, 0}));
  ASSERT_TRUE(store.write(where("l"), S_IFLNK, {60000, 60000}, false));
  EXPECT_EQ(read("l").owner, (Owner{60000, 60000}));
  EXPECT_FALSE(read("l").corrupt);
  // Chowned behind our back, or by a crash between the two writes.
  ASSERT_EQ(::lchown((layers.upper() + "/l").c_str(), 1000, 1633), 0);
  EXPECT_EQ(read("l").owner, (Owner{1000, 1633}));
  EXPECT_TRUE(read("l").corrupt);
}

TEST_F(OwnerStoreTest, SidecarThatIsNotOneIsNotBelieved) {
  ASSERT_EQ(::symlink("nowhere", (layers.upper() + "/l").c_str()), 0);
  ASSERT_EQ(::lchown((layers.upper() + "/l").c_str(), 1633, 1633), 0);
  const std::string good = "0000060000:0000060000\n";
  for (const std::string& text :
       {std::string(), std::string("x"), good.substr(0, 21), std::string("0000060000 0000060000\n"),
        std::string("4294967295:0000060000\n"), std::string("0000000000:0000000000\n"),
        std::string("0000060000:000006000\n\n"), std::string("00000-0001:0000060000\n")}) {
    fusefs_test::write_file(sidecar("l"), text);
    EXPECT_EQ(read("l").owner, (Owner{1633, 1633})) << text;
    EXPECT_TRUE(read("l").corrupt) << text;
  }
  fusefs_test::write_file(sidecar("l"), good + "and more");
  EXPECT_EQ(read("l").owner, (Owner{60000, 60000}));
  ::unlink(sidecar("l").c_str());
  fusefs_test::write_file(layers.outside() + "/forged", good);
  ASSERT_EQ(::symlink((layers.outside() + "/forged").c_str(), sidecar("l").c_str()), 0);
  EXPECT_EQ(read("l").owner, (Owner{1633, 1633})) << "through a link";
  ::unlink(sidecar("l").c_str());
  ASSERT_EQ(::mkfifo(sidecar("l").c_str(), 0644), 0);
  EXPECT_EQ(read("l").owner, (Owner{1633, 1633})) << "a fifo";
}

TEST_F(OwnerStoreTest, PoolOfOneIdKeepsAllInTheRecord) {
  make_file("f");
  EXPECT_EQ(poor.on_disk({60000, 60000}), (Owner{0, 0}));
  ASSERT_TRUE(poor.write(where("f"), S_IFREG, {60000, 60000}, false));
  EXPECT_EQ(ring::at::stat(where("f"))->st_uid, 0u);
  EXPECT_EQ(read("f", poor).owner, (Owner{60000, 60000}));
  ASSERT_EQ(::symlink("nowhere", (layers.upper() + "/l").c_str()), 0);
  ASSERT_TRUE(poor.write(where("l"), S_IFLNK, {60000, 60000}, false));
  EXPECT_EQ(read("l", poor).owner, (Owner{60000, 60000}));
}

TEST_F(OwnerStoreTest, SidecarNamesAreDifferentAndFit) {
  std::set<std::string> names;
  const std::string longest(255, 'n');
  std::vector<std::string> entries = {"a",
                                      "b",
                                      "#a",
                                      "##",
                                      longest,
                                      longest.substr(1),
                                      longest.substr(0, 254) + "m",
                                      std::string(244, 'n'),
                                      std::string(245, 'n')};
  for (const std::string& entry : std::vector<std::string>(entries))
    entries.push_back(OwnerStore::sidecar_name(entry).substr(kSidecarPrefix.size()));
  std::set<std::string> distinct(entries.begin(), entries.end());
  for (const std::string& entry : distinct) {
    std::string name = OwnerStore::sidecar_name(entry);
    EXPECT_LE(name.size(), 255u);
    EXPECT_TRUE(name.starts_with(".wh..wh.un."));
    EXPECT_TRUE(names.insert(name).second) << entry << " shares " << name;
  }
  EXPECT_EQ(OwnerStore::sidecar_name("a"), ".wh..wh.un.a");
}

}  // namespace
}  // namespace fusefs
