// Whiteouts and opaque directories: every form that is read, and that deleted names stay deleted.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

std::string make_whiteout(const std::string& path) {
  return outcome(mknod(path.c_str(), S_IFCHR, makedev(0, 0)));
}

enum class Where { upper, top_lower };

class WhiteoutForm : public testing::TestWithParam<std::tuple<Where, bool>> {};

TEST_P(WhiteoutForm, HidesALowerFileAndDirectory) {
  const auto [where, device] = GetParam();
  OverlayMount m({.lowers = 2});
  write_file(m.lower(1) + "/f", "low");
  make_dir(m.lower(1) + "/d");
  write_file(m.lower(1) + "/d/in", "low");
  write_file(m.lower(1) + "/kept", "low");
  const std::string layer = where == Where::upper ? m.upper() : m.lower(0);
  for (const std::string name : {"f", "d", "absent"}) {
    const std::string path = layer + (device ? "/" : "/.wh.") + name;
    ASSERT_EQ(device ? make_whiteout(path) : write_file(path, ""), "ok");
  }
  m.mount();
  EXPECT_EQ(names_in(m.merged()), "kept");
  EXPECT_EQ(read_file(m.at("f")), "<ENOENT>");
  EXPECT_EQ(kind_of(m.at("d")), "<ENOENT>");
  EXPECT_EQ(kind_of(m.at(".wh.f")), "<ENOENT>");
  EXPECT_EQ(write_file(m.at("f"), "new"), "ok");
  EXPECT_EQ(make_dir(m.at("d")), "ok");
  EXPECT_EQ(write_file(m.at("absent"), "a"), "ok");
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(read_file(m.at("f")), "new");
    EXPECT_EQ(names_in(m.at("d")), "") << "a directory made anew must not show the old content";
    EXPECT_EQ(names_in(m.merged()), "absent d f kept");
    m.remount();
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, WhiteoutForm,
                         testing::Combine(testing::Values(Where::upper, Where::top_lower),
                                          testing::Bool()),
                         [](const auto& value) {
                           return std::string(std::get<1>(value.param) ? "Device" : "WhFile") +
                                  (std::get<0>(value.param) == Where::upper ? "Upper" : "Lower");
                         });

class OpaqueForm : public testing::TestWithParam<std::tuple<Where, std::string>> {};

TEST_P(OpaqueForm, HidesWhatIsBelow) {
  const auto [where, form] = GetParam();
  OverlayMount m({.lowers = 2});
  const std::string layer = where == Where::upper ? m.upper() : m.lower(0);
  for (const auto& at : {layer, m.lower(1)}) make_dir(at + "/d");
  write_file(layer + "/d/own", "top");
  write_file(m.lower(1) + "/d/hidden", "low");
  make_dir(m.lower(1) + "/d/sub");
  write_file(m.lower(1) + "/d/sub/hidden", "low");
  make_dir(layer + "/d/sub");
  if (form == "file") {
    ASSERT_EQ(write_file(layer + "/d/.wh..wh..opq", ""), "ok");
  } else {
    ASSERT_EQ(set_xattr(layer + "/d", form, "y"), "ok");
  }
  m.mount();
  EXPECT_EQ(names_in(m.at("d")), "own sub");
  EXPECT_EQ(read_file(m.at("d/hidden")), "<ENOENT>");
  EXPECT_EQ(names_in(m.at("d/sub")), "") << "what is below an opaque directory is hidden too";
  EXPECT_EQ(read_file(m.at("d/sub/hidden")), "<ENOENT>");
  EXPECT_EQ(kind_of(m.at("d/.wh..wh..opq")), "<ENOENT>");
  EXPECT_EQ(list_xattr(m.at("d")), "");
}

INSTANTIATE_TEST_SUITE_P(Forms, OpaqueForm,
                         testing::Combine(testing::Values(Where::upper, Where::top_lower),
                                          testing::Values("file", "trusted.overlay.opaque",
                                                          "user.overlay.opaque",
                                                          "user.fuseoverlayfs.opaque")),
                         [](const auto& value) {
                           std::string name = std::get<1>(value.param);
                           for (char& letter : name) letter = letter == '.' ? '_' : letter;
                           return name +
                                  (std::get<0>(value.param) == Where::upper ? "_upper" : "_lower");
                         });

TEST(Opaque, OtherValuesMeanNothing) {
  OverlayMount m;
  make_dir(m.upper() + "/d");
  make_dir(m.lower() + "/d");
  write_file(m.lower() + "/d/seen", "low");
  set_xattr(m.upper() + "/d", "user.overlay.opaque", "n");
  m.mount();
  EXPECT_EQ(names_in(m.at("d")), "seen");
}

TEST(Whiteout, DeletedNamesStayDeletedAndTheLowerIsUntouched) {
  OverlayMount m;
  make_dir(m.lower() + "/d");
  make_dir(m.lower() + "/d/e");
  write_file(m.lower() + "/d/e/f", "low");
  write_file(m.lower() + "/g", "low");
  m.mount();
  const std::string before = describe_tree(m.lower());
  EXPECT_EQ(outcome(unlink(m.at("g").c_str())), "ok");
  EXPECT_EQ(outcome(rmdir(m.at("d").c_str())), "ENOTEMPTY");
  EXPECT_EQ(outcome(unlink(m.at("d/e/f").c_str())), "ok");
  EXPECT_EQ(outcome(rmdir(m.at("d/e").c_str())), "ok");
  EXPECT_EQ(outcome(rmdir(m.at("d").c_str())), "ok");
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(names_in(m.merged()), "");
    EXPECT_EQ(kind_of(m.at("d/e/f")), "<ENOENT>");
    m.remount();
  }
  EXPECT_EQ(describe_tree(m.lower()), before);
}

/// A directory of the lower, removed and made again at two depths, repeatedly.
TEST(Whiteout, NestedRemoveAndRecreateIsOpaque) {
  OverlayMount m;
  make_dir(m.lower() + "/a");
  make_dir(m.lower() + "/a/b");
  write_file(m.lower() + "/a/old", "low");
  write_file(m.lower() + "/a/b/old", "low");
  m.mount();
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(run({"rm", "-rf", m.at("a")}).status, 0);
    EXPECT_EQ(names_in(m.merged()), "");
    EXPECT_EQ(make_dir(m.at("a")), "ok");
    EXPECT_EQ(make_dir(m.at("a/b")), "ok");
    EXPECT_EQ(names_in(m.at("a")), "b");
    EXPECT_EQ(names_in(m.at("a/b")), "");
    EXPECT_EQ(read_file(m.at("a/b/old")), "<ENOENT>");
    m.remount();
    EXPECT_EQ(names_in(m.at("a")) + names_in(m.at("a/b")), "b");
  }
  OverlayMount above({.lowers = 0, .lower_paths = {m.upper(), m.lower()}});
  m.unmount();
  above.mount();
  EXPECT_EQ(names_in(above.at("a")) + names_in(above.at("a/b")), "b")
      << "the upper as a lower must hide the same";
}

TEST(Whiteout, DirectoryReplacedByAFileInAMiddleLayer) {
  OverlayMount m({.lowers = 3});
  make_dir(m.lower(2) + "/x");
  write_file(m.lower(2) + "/x/deep", "2");
  write_file(m.lower(1) + "/x", "a file");
  make_dir(m.lower(0) + "/x");
  write_file(m.lower(0) + "/x/top", "0");
  m.mount();
  EXPECT_EQ(names_in(m.at("x")), "top") << "layers do not merge through a file";
  EXPECT_EQ(read_file(m.at("x/deep")), "<ENOENT>");
}

TEST(Whiteout, MiddleLayerWhiteoutStopsTheMerge) {
  OverlayMount m({.lowers = 3});
  make_dir(m.lower(2) + "/x");
  write_file(m.lower(2) + "/x/deep", "2");
  make_whiteout(m.lower(1) + "/x");
  make_dir(m.lower(0) + "/x");
  write_file(m.lower(0) + "/x/top", "0");
  m.mount();
  EXPECT_EQ(names_in(m.at("x")), "top");
}

TEST(Whiteout, UpperDirectoryOverALowerSymlink) {
  OverlayMount m;
  make_dir(m.lower() + "/real");
  write_file(m.lower() + "/real/f", "low");
  make_link("real", m.lower() + "/x");
  make_dir(m.upper() + "/x");
  write_file(m.upper() + "/x/top", "up");
  m.mount();
  EXPECT_EQ(kind_of(m.at("x")), "dir");
  EXPECT_EQ(names_in(m.at("x")), "top");
  EXPECT_EQ(names_in(m.at("real")), "f");
}

TEST(Whiteout, SymlinkOverALowerDirectory) {
  OverlayMount m;
  make_dir(m.lower() + "/x");
  write_file(m.lower() + "/x/f", "low");
  m.mount();
  unlink(m.at("x/f").c_str());
  EXPECT_EQ(outcome(rmdir(m.at("x").c_str())), "ok");
  EXPECT_EQ(make_link("elsewhere", m.at("x")), "ok");
  m.remount();
  EXPECT_EQ(link_text(m.at("x")), "elsewhere");
}

TEST(Whiteout, NoResurrectionBelowAnOpaqueUpper) {
  OverlayMount m;
  make_dir(m.upper() + "/d");
  set_xattr(m.upper() + "/d", "user.overlay.opaque", "y");
  make_dir(m.lower() + "/d");
  write_file(m.lower() + "/d/f", "low");
  m.mount();
  EXPECT_EQ(write_file(m.at("d/f"), "new"), "ok");
  EXPECT_EQ(outcome(unlink(m.at("d/f").c_str())), "ok");
  EXPECT_EQ(read_file(m.at("d/f")), "<ENOENT>");
  m.remount();
  EXPECT_EQ(names_in(m.at("d")), "");
}

TEST(Whiteout, DirectoryHoldingOnlyWhiteoutsIsEmpty) {
  OverlayMount m({.lowers = 2});
  make_dir(m.lower(0) + "/d");
  make_dir(m.lower(1) + "/d");
  write_file(m.lower(1) + "/d/f", "low");
  write_file(m.lower(1) + "/d/g", "low");
  make_whiteout(m.lower(0) + "/d/f");
  write_file(m.lower(0) + "/d/.wh.g", "");
  m.mount();
  EXPECT_EQ(names_in(m.at("d")), "");
  EXPECT_EQ(outcome(rmdir(m.at("d").c_str())), "ok");
  m.remount();
  EXPECT_EQ(names_in(m.merged()), "");
}

TEST(Whiteout, RealDevicesAreNotWhiteouts) {
  OverlayMount m({.lowers = 2});
  write_file(m.lower(1) + "/f", "low");
  mknod((m.lower(0) + "/f").c_str(), S_IFCHR | 0600, makedev(1, 3));
  m.mount();
  EXPECT_EQ(kind_of(m.at("f")), "char");
}

}  // namespace
}  // namespace kernel_test
