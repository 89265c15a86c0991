// Mounts that must be refused: exit code 1, nothing mounted, a message that names the culprit.
#include <gtest/gtest.h>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

/// A refusal: how it ended, and whether the message holds `name`.
void expect_refused(const OverlayMount& m, const std::string& options, const std::string& name,
                    const std::string& target = "") {
  const std::string where = target.empty() ? m.merged() : target;
  const Ran ran = run({mount_program(), "-o", options, where});
  EXPECT_EQ(ran.status, 1) << options << "\n" << ran.err;
  EXPECT_NE(ran.err.find(name), std::string::npos)
      << "the message does not name " << name << ": " << ran.err;
  EXPECT_TRUE(ran.pipes_closed);
  EXPECT_FALSE(is_mounted(where));
  if (is_mounted(where)) run({"umount", where});
}

TEST(BadMount, NoLower) {
  OverlayMount m;
  expect_refused(m, "upperdir=" + m.upper() + ",workdir=" + m.work(), "lowerdir");
}

TEST(BadMount, NoOptionsAtAll) {
  OverlayMount m;
  const Ran ran = run({mount_program(), m.merged()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.err.find("lowerdir"), std::string::npos) << ran.err;
}

TEST(BadMount, NoMountpoint) {
  OverlayMount m;
  const Ran ran = run({mount_program(), "-o", m.options()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.err, "");
}

TEST(BadMount, MissingLower) {
  OverlayMount m;
  expect_refused(m, "lowerdir=" + m.lower() + ":" + m.root() + "/no-such-lower",
                 m.root() + "/no-such-lower");
}

TEST(BadMount, LowerIsAFile) {
  OverlayMount m;
  write_file(m.root() + "/a-file", "x");
  expect_refused(m, "lowerdir=" + m.root() + "/a-file", m.root() + "/a-file");
}

TEST(BadMount, MissingUpper) {
  OverlayMount m;
  expect_refused(m,
                 "lowerdir=" + m.lower() + ",upperdir=" + m.root() + "/no-up,workdir=" + m.work(),
                 m.root() + "/no-up");
}

TEST(BadMount, MissingWork) {
  OverlayMount m;
  expect_refused(
      m, "lowerdir=" + m.lower() + ",upperdir=" + m.upper() + ",workdir=" + m.root() + "/no-work",
      m.root() + "/no-work");
}

TEST(BadMount, UpperWithoutWork) {
  OverlayMount m;
  expect_refused(m, "lowerdir=" + m.lower() + ",upperdir=" + m.upper(), "workdir");
}

TEST(BadMount, MissingMountpoint) {
  OverlayMount m;
  expect_refused(m, m.options(), m.root() + "/no-such-target", m.root() + "/no-such-target");
}

TEST(BadMount, MountpointIsAFile) {
  OverlayMount m;
  write_file(m.root() + "/a-file", "x");
  expect_refused(m, m.options(), m.root() + "/a-file", m.root() + "/a-file");
}

TEST(BadMount, UpperIsAlsoWork) {
  OverlayMount m;
  expect_refused(m, "lowerdir=" + m.lower() + ",upperdir=" + m.upper() + ",workdir=" + m.upper(),
                 m.upper());
}

TEST(BadMount, UpperIsAlsoALower) {
  OverlayMount m;
  expect_refused(m, "lowerdir=" + m.upper() + ",upperdir=" + m.upper() + ",workdir=" + m.work(),
                 m.upper());
}

TEST(BadMount, SameLowerTwice) {
  OverlayMount m;
  expect_refused(m, "lowerdir=" + m.lower() + ":" + m.lower(), m.lower());
}

TEST(BadMount, SameLowerTwiceByAnotherName) {
  OverlayMount m;
  make_link("lower0", m.root() + "/alias");
  expect_refused(m, "lowerdir=" + m.lower() + ":" + m.root() + "/alias", m.root() + "/alias");
}

TEST(BadMount, WorkOnAnotherFileSystem) {
  OverlayMount m;
  ASSERT_EQ(m.add_tmpfs(m.work(), 1024), "ok");
  expect_refused(m, m.options(), m.work());
}

class BadOption : public testing::TestWithParam<const char*> {};

TEST_P(BadOption, IsRefusedByName) {
  OverlayMount m;
  const std::string option = GetParam();
  expect_refused(m, m.options() + "," + option, option.substr(0, option.find('=')));
}

INSTANTIATE_TEST_SUITE_P(Values, BadOption,
                         testing::Values("uidmapping=0:0", "uidmapping=0:0:1:5", "gidmapping=:0:0",
                                         "gidmapping=a:b:c", "uidmapping=0:4294967296:1",
                                         "uidmapping=0:0:4294967296", "gidmapping=99999999999:0:1",
                                         "uidmapping=-1:0:1", "squash_to_uid=abc",
                                         "squash_to_uid=4294967296", "squash_to_gid=-1",
                                         "xattr_permissions=3", "xattr_permissions=x",
                                         "redirect_dir=banana"),
                         [](const auto& value) {
                           std::string name = std::to_string(value.index) + "_";
                           for (const char* at = value.param; *at != 0; ++at)
                             name += isalnum(*at) ? *at : '_';
                           return name;
                         });

/// As an ordinary user in an own user namespace: a layer that may not be opened.
TEST(BadMount, UnreadableLower) {
  OverlayMount m;
  make_dir(m.root() + "/secret", 0700);
  make_dir(m.root() + "/target");
  own(m.root() + "/target", 1000, 1000);
  const std::string options = "lowerdir=" + m.root() + "/secret/layer";
  make_dir(m.root() + "/secret/layer");
  const Ran ran = run({"setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "env",
                       "HOME=" + m.root() + "/target", "unshare", "-Ur", "-m", mount_program(),
                       "-o", options, m.root() + "/target"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.err.find(m.root() + "/secret/layer"), std::string::npos) << ran.err;
}

}  // namespace
}  // namespace kernel_test
