// Devices that are records: made by wish, shown, brought up from a lower layer, changed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <string>

#include "fusefs/device_wishes.hpp"
#include "tests/fusefs/rig.hpp"

namespace fusefs_test {
namespace {

using identity::Device;
using identity::NodeType;

constexpr const char* kRecord = "user.usernetes.device";

void set(const std::string& path, const char* key, std::string_view value) {
  ASSERT_EQ(::lsetxattr(path.c_str(), key, value.data(), value.size(), 0), 0) << path << " " << key;
}
std::string get(const std::string& path, const char* key) {
  char value[64];
  const ssize_t size = ::lgetxattr(path.c_str(), key, value, sizeof value);
  return size < 0 ? "-" : std::string(value, static_cast<std::size_t>(size));
}

class Devices : public testing::Test {
 protected:
  void open(const Layers& layers) {
    connection.reset();
    if (!reactor) reactor = std::move(*ring::Reactor::make());
    auto fs = overlay(layers, *reactor);
    ASSERT_TRUE(fs);
    fs->wishes = &wishes;
    connection = std::make_unique<Connection>(*reactor, std::move(fs));
    connection->init();
  }
  int ask(NodeId directory, const std::string& attribute) {
    fuse_getxattr_in in{};
    in.size = 16;
    return connection->call(FUSE_GETXATTR, directory, Body().put(in).name(attribute)).error;
  }
  int make(NodeId directory, const char* name, mode_t mode = S_IFREG | 0666, unsigned umask = 022) {
    fuse_mknod_in in{};
    in.mode = mode;
    in.umask = umask;
    return connection->call(FUSE_MKNOD, directory, Body().put(in).name(name)).error;
  }
  fuse_attr attributes(const char* name) {
    return connection->call(FUSE_LOOKUP, 1, Body().name(name)).as<fuse_entry_out>().attr;
  }
  std::string shown(const char* name) {
    const fuse_attr attr = attributes(name);
    const char* kind = S_ISCHR(attr.mode) ? "c " : S_ISBLK(attr.mode) ? "b " : "other ";
    return kind + std::to_string(major(attr.rdev)) + ":" + std::to_string(attr.rdev & 0xff) + " " +
           std::to_string(attr.mode & 07777) + " " + std::to_string(attr.size);
  }
  int set_mode(const char* name, unsigned mode) {
    fuse_setattr_in in{};
    in.valid = FATTR_MODE;
    in.mode = mode;
    return connection->call(FUSE_SETATTR, connection->lookup(1, name), Body().put(in)).error;
  }
  fusefs::DeviceWishes wishes;
  std::unique_ptr<ring::Reactor> reactor;
  std::unique_ptr<Connection> connection;
};

TEST_F(Devices, AWishIsGrantedOnceAndInItsDirectoryOnly) {
  Layers layers;
  open(layers);
  const std::string question = wishes.question(), unasked = wishes.question();
  EXPECT_NE(question, unasked);
  EXPECT_FALSE(wishes.wish(question, "d", {NodeType::chr, 1, 3})) << "nobody was asked";
  EXPECT_EQ(ask(1, question), ENODATA);
  EXPECT_EQ(ask(1, question + "0"), ENODATA);
  EXPECT_TRUE(wishes.wish(question, "d", {NodeType::chr, 1, 3}));
  EXPECT_FALSE(wishes.wish(unasked, "d", {NodeType::chr, 1, 3}));
  EXPECT_EQ(make(1, "e"), 0) << "another name is a file";
  EXPECT_TRUE(S_ISREG(attributes("e").mode));
  EXPECT_EQ(make(1, "d", S_IFIFO | 0600), 0) << "another kind is what it is";
  EXPECT_EQ(make(1, "d"), EEXIST);
  EXPECT_FALSE(wishes.granted(question)) << "there was something";
  EXPECT_EQ(connection->call(FUSE_UNLINK, 1, Body().name("d")).error, 0);
  EXPECT_EQ(make(1, "d"), EEXIST) << "the kernel must not take it for a file";
  EXPECT_TRUE(wishes.granted(question));
  EXPECT_EQ(shown("d"), "c 1:3 420 0");
  EXPECT_EQ(get(layers.upper() + "/d", kRecord), "char-1-3");
  EXPECT_EQ(connection->call(FUSE_UNLINK, 1, Body().name("d")).error, 0);
  EXPECT_EQ(make(1, "d"), 0) << "once";
  wishes.forget(question);
  EXPECT_FALSE(wishes.granted(question));
}

TEST_F(Devices, OverAWhiteout) {
  Layers layers;
  write_file(layers.lower() + "/d", "text", 0644);
  open(layers);
  EXPECT_EQ(connection->call(FUSE_UNLINK, 1, Body().name("d")).error, 0);
  const std::string question = wishes.question();
  ask(1, question);
  EXPECT_TRUE(wishes.wish(question, "d", {NodeType::block, 8, 1}));
  EXPECT_EQ(make(1, "d"), EEXIST);
  EXPECT_EQ(shown("d"), "b 8:1 420 0");
}

TEST_F(Devices, ARecordInALowerLayerComesUpAsOne) {
  Layers layers;
  write_file(layers.lower() + "/ours", "", 0640);
  set(layers.lower() + "/ours", kRecord, "char-1-3");
  write_file(layers.lower() + "/theirs", "", 0600);
  set(layers.lower() + "/theirs", "user.containers.override_stat", "0:0:0666:block-8-1");
  write_file(layers.lower() + "/bad", "", 0600);
  set(layers.lower() + "/bad", kRecord, "char-0-0");
  open(layers);
  EXPECT_EQ(shown("ours"), "c 1:3 416 0");
  EXPECT_TRUE(S_ISREG(attributes("bad").mode));
  EXPECT_EQ(set_mode("ours", 0600), 0);
  EXPECT_EQ(set_mode("theirs", 04711), 0);
  for (int round = 0; round < 2; ++round, open(layers)) {
    EXPECT_EQ(shown("ours"), "c 1:3 384 0") << round;
    EXPECT_EQ(shown("theirs"), "b 8:1 2505 0") << round;
  }
  EXPECT_EQ(get(layers.upper() + "/ours", kRecord), "char-1-3");
  EXPECT_EQ(get(layers.upper() + "/theirs", kRecord), "block-8-1");
  struct stat st;
  ASSERT_EQ(::lstat((layers.upper() + "/ours").c_str(), &st), 0);
  EXPECT_TRUE(S_ISREG(st.st_mode));
}

}  // namespace
}  // namespace fusefs_test
