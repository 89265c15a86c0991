#include "base/mountinfo.hpp"

#include <gtest/gtest.h>

namespace {

TEST(MountLines, AreThoseOfProc) {
  auto lines = base::mount_lines(
      "36 35 98:0 /sub /a\\040b\\134c rw,noatime master:1 shared:7 - ext3 /dev/root rw\n"
      "37 36 0:57 / /merged rw - fuse.x x rw");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].id, "36");
  EXPECT_EQ(lines[0].device, "98:0");
  EXPECT_EQ(lines[0].root, "/sub");
  EXPECT_EQ(lines[0].point, "/a\\040b\\134c");
  EXPECT_EQ(lines[0].type, "ext3");
  EXPECT_EQ(lines[1].id, "37");
  EXPECT_EQ(lines[1].type, "fuse.x");
}

TEST(MountLines, WhatIsMissingIsEmpty) {
  EXPECT_TRUE(base::mount_lines("").empty());
  auto lines =
      base::mount_lines("broken\n\n1 2 0:5 / /y rw\n1 2 0:5 / /z rw -\n1 2 0:5 / /z rw - ");
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[0].id, "broken");
  EXPECT_EQ(lines[0].device, "");
  EXPECT_EQ(lines[1].id, "");
  EXPECT_EQ(lines[2].point, "/y");
  for (const base::MountLine& line : lines) EXPECT_EQ(line.type, "");
}

TEST(UnescapeMount, UndoesWhatTheKernelEscapes) {
  EXPECT_EQ(base::unescape_mount("/a\\040b\\134c\\011\\012"), "/a b\\c\t\n");
  EXPECT_EQ(base::unescape_mount("\\303\\244"), "\xc3\xa4");
  EXPECT_EQ(base::unescape_mount("/a\\04\\8\\"), "/a\\04\\8\\") << "not three octal digits";
  EXPECT_EQ(base::unescape_mount(""), "");
}

}  // namespace
