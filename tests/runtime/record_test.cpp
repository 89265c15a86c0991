// Records of containers, and who may have put something else in their place.
#include "runtime/record.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace {

class RecordsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/records.XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    parent_ = base::Fd(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  oci::Records records() { return *oci::Records::open(parent_.get()); }
  std::size_t files() const {
    auto all = std::filesystem::directory_iterator(directory_ + "/containers");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }
  static oci::Record some(const std::string& id, const std::string& bundle = "/") {
    oci::Record record{id, bundle, "map", "/usr/bin/crun", "0 0 1\n60000 1633 1\n", "0 0 1\n"};
    record.entered = {{"network", "/run/netns/a", 77}};
    return record;
  }

  std::string directory_;
  base::Fd parent_;
};

TEST_F(RecordsTest, WrittenReadRemoved) {
  ASSERT_TRUE(records().write("/root", some("c1")));
  auto read = records().read("/root", "c1");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->uids, "0 0 1\n60000 1633 1\n");
  EXPECT_EQ(read->mode, "map");
  EXPECT_EQ(read->program, "/usr/bin/crun");
  ASSERT_EQ(read->entered.size(), 1u);
  EXPECT_EQ(read->entered[0].inode, 77u);
  EXPECT_FALSE(records().read("", "c1"));  // another runtime's
  EXPECT_FALSE(records().read("/root", "c2"));
  EXPECT_EQ(files(), 1u);
  records().remove("/root", "c1");
  EXPECT_FALSE(records().read("/root", "c1"));
  EXPECT_EQ(files(), 0u);
}

TEST_F(RecordsTest, AnIdIsNoPath) {
  ASSERT_TRUE(records().write("", some("../../../etc/passwd")));
  EXPECT_TRUE(records().read("", "../../../etc/passwd"));
  EXPECT_EQ(files(), 1u);
}

TEST_F(RecordsTest, WhatIsNoRecordIsNone) {
  ASSERT_TRUE(records().write("", some("c")));
  std::string path = std::filesystem::directory_iterator(directory_ + "/containers")->path();
  for (const char* text : {"", "[]", "{\"id\":5}", "{\"id\":\"other\"}", "\xff"}) {
    std::ofstream(path) << text;
    EXPECT_FALSE(records().read("", "c")) << text;
  }
  std::filesystem::remove(path);
  std::filesystem::create_symlink("/etc/passwd", path);
  EXPECT_FALSE(records().read("", "c"));
  ASSERT_TRUE(records().write("", some("c")));  // replaces the link, not what it leads to
  EXPECT_TRUE(records().read("", "c"));
}

TEST_F(RecordsTest, ThoseWhoseBundleIsGoneAreForgotten) {
  for (int i = 0; i < 140; ++i)
    ASSERT_TRUE(records().write("", some(std::to_string(i), i % 2 ? "/" : "/gone-for-good")));
  EXPECT_LE(files(), 80u);
  EXPECT_TRUE(records().read("", "1"));
}

TEST_F(RecordsTest, ALinkInPlaceOfTheDirectoryIsRefused) {
  std::filesystem::create_symlink("/tmp", directory_ + "/containers");
  EXPECT_FALSE(oci::Records::open(parent_.get()));
}

}  // namespace
