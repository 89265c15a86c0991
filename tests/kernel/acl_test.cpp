// POSIX ACLs: kept, enforced, inherited (the umask is ignored then), and equal to the mode bits.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

constexpr char access_name[] = "system.posix_acl_access";
constexpr char default_name[] = "system.posix_acl_default";

/// u::rwx u:1500:r-x g::r-x m::rwx o::---
std::string sample() {
  return acl_value({{1, 7}, {2, 5, 1500}, {4, 5}, {16, 7}, {32, 0}});
}

TEST(Acl, IsEnforcedForANamedUser) {
  OverlayMount m;
  write_file(m.lower() + "/f", "text", 0600);
  m.mount();
  EXPECT_EQ(run_as(1500, 1500, {}, [&] { return read_file(m.at("f")); }), "<EACCES>");
  EXPECT_EQ(set_xattr(m.at("f"), access_name, sample()), "ok");
  EXPECT_EQ(run_as(1500, 1500, {}, [&] { return read_file(m.at("f")); }), "text");
  EXPECT_EQ(run_as(1501, 1501, {}, [&] { return read_file(m.at("f")); }), "<EACCES>");
  EXPECT_EQ(run_as(1500, 1500, {}, [&] { return append_file(m.at("f"), "x"); }), "EACCES");
  m.remount();
  EXPECT_EQ(acl_text(get_xattr(m.at("f"), access_name)), acl_text(sample()));
  EXPECT_EQ(run_as(1500, 1500, {}, [&] { return read_file(m.at("f")); }), "text");
}

TEST(Acl, OfTheLowerIsEnforcedAndSurvivesCopyUp) {
  OverlayMount m;
  write_file(m.lower() + "/f", "text", 0600);
  ASSERT_EQ(set_xattr(m.lower() + "/f", access_name, sample()), "ok");
  m.mount();
  EXPECT_EQ(run_as(1500, 1500, {}, [&] { return read_file(m.at("f")); }), "text");
  EXPECT_EQ(append_file(m.at("f"), "!"), "ok");
  m.remount();
  EXPECT_EQ(acl_text(get_xattr(m.at("f"), access_name)), acl_text(sample()));
  EXPECT_EQ(run_as(1500, 1500, {}, [&] { return read_file(m.at("f")); }), "text!");
}

/// Every kind of object made below a directory with a default ACL, under a strict umask.
TEST(Acl, DefaultIsInheritedAndTheUmaskIgnored) {
  const auto prepare = [](const std::string& dir) {
    chmod(dir.c_str(), 0777);
    make_dir(dir + "/d");
    own(dir + "/d", 1000, 1000);
    set_xattr(dir + "/d", default_name, sample());
  };
  const auto story = [](const std::string& dir) {
    return run_as(1000, 1000, {}, [&] {
      umask(077);
      write_file(dir + "/d/f", "x", 0666);
      write_file(dir + "/d/tight", "x", 0600);
      make_dir(dir + "/d/sub", 0777);
      write_file(dir + "/d/sub/g", "x", 0666);
      mknod((dir + "/d/p").c_str(), S_IFIFO | 0666, 0);
      make_link("f", dir + "/d/l");
      const base::Fd unnamed = open_at(dir + "/d", O_TMPFILE | O_RDWR, 0666);
      const std::string self = "/proc/self/fd/" + std::to_string(unnamed.get());
      linkat(AT_FDCWD, self.c_str(), AT_FDCWD, (dir + "/d/t").c_str(), AT_SYMLINK_FOLLOW);
      std::string text;
      for (const std::string name : {"f", "tight", "sub", "sub/g", "p", "l", "t"}) {
        const std::string path = dir + "/d/" + name;
        text += name + " " + mode_of(path) + " [" + acl_text(get_xattr(path, access_name)) + "] [" +
                acl_text(get_xattr(path, default_name)) + "]\n";
      }
      return text;
    });
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Acl, ChmodAndAclAgree) {
  const auto prepare = [](const std::string& dir) { write_file(dir + "/f", "x", 0640); };
  const auto story = [](const std::string& dir) {
    const std::string path = dir + "/f";
    std::ostringstream text;
    text << set_xattr(path, access_name, sample()) << ' ' << mode_of(path) << '\n';
    text << outcome(chmod(path.c_str(), 0604)) << ' ' << mode_of(path) << ' '
         << acl_text(get_xattr(path, access_name)) << '\n';
    text << set_xattr(path, access_name, acl_value({{1, 6}, {4, 4}, {32, 0}})) << ' '
         << mode_of(path) << ' ' << get_xattr(path, access_name) << '\n';
    text << set_xattr(path, access_name, sample()) << ' ' << remove_xattr(path, access_name) << ' '
         << mode_of(path) << ' ' << list_xattr(path) << '\n';
    text << set_xattr(path, default_name, sample()) << ' '
         << set_xattr(path, access_name, "rubbish") << '\n';
    return text.str();
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

/// Only the owner may; the set-group-id bit goes when the setter is not in the group.
TEST(Acl, SetByOthersAndBySomeoneOutsideTheGroup) {
  const auto prepare = [](const std::string& dir) {
    write_file(dir + "/f", "x");
    own(dir + "/f", 1000, 50);
    chmod((dir + "/f").c_str(), 02755);
  };
  const auto story = [](const std::string& dir) {
    const std::string path = dir + "/f";
    const auto set = [&] { return set_xattr(path, access_name, sample()); };
    std::ostringstream text;
    text << run_as(1001, 1001, {}, set) << ' ' << mode_of(path) << '\n';
    text << run_as(1000, 1000, {}, set) << ' ' << mode_of(path) << '\n';
    return text.str();
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Acl, ListedByName) {
  OverlayMount m;
  make_dir(m.lower() + "/d");
  set_xattr(m.lower() + "/d", default_name, sample());
  set_xattr(m.lower() + "/d", access_name, sample());
  m.mount();
  EXPECT_EQ(list_xattr(m.at("d")), std::string(access_name) + " " + default_name);
}

TEST(Acl, NoaclOptionRefusesThem) {
  OverlayMount m;
  write_file(m.lower() + "/f", "x");
  m.set_options("noacl");
  m.mount();
  EXPECT_EQ(set_xattr(m.at("f"), access_name, sample()), "EOPNOTSUPP");
}

}  // namespace
}  // namespace kernel_test
