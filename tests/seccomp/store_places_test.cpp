#include "seccomp/store_places.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace seccomp {
namespace {

constexpr const char* kLines =
    "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "22 21 0:5 / /proc rw - proc proc rw\n"
    "140 21 8:1 /home/a\\040b/overlay /home/a\\040b/overlay rw - ext4 /dev/sda1 rw\n"
    "141 140 0:77 / /home/merged rw - fuse.usernetes-identity x rw\n"
    "bad line\n"
    "142 21 8:1 no/root /x rw - ext4 d rw\n"
    "143 21 8:1 / /y rw\n";

TEST(FindMount, ReadsALineAsProcWritesIt) {
  auto mount = find_mount(kLines, 140);
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->device, "8:1");
  EXPECT_EQ(mount->root, "/home/a b/overlay");
  EXPECT_EQ(mount->point, "/home/a b/overlay");
  EXPECT_EQ(mount->type, "ext4");
  EXPECT_EQ(find_mount(kLines, 141)->type, "fuse.usernetes-identity");
}

TEST(FindMount, WhatIsNotALineIsNoMount) {
  EXPECT_FALSE(find_mount(kLines, 14));
  EXPECT_FALSE(find_mount(kLines, 142)) << "a root that is no path";
  EXPECT_FALSE(find_mount(kLines, 143)) << "no separator";
  EXPECT_FALSE(find_mount("", 1));
  EXPECT_FALSE(find_mount("21", 21));
}

TEST(Place, OnlyWholeNamesCount) {
  const Place store{"8:1", "/s/overlay"};
  EXPECT_TRUE((Place{"8:1", "/s/overlay"}.within(store)));
  EXPECT_TRUE((Place{"8:1", "/s/overlay/l/diff"}.within(store)));
  EXPECT_FALSE((Place{"8:1", "/s/overlay-layers"}.within(store)));
  EXPECT_FALSE((Place{"8:2", "/s/overlay/l"}.within(store)));
  EXPECT_FALSE((Place{"8:1", "/s"}.within(store)));
  EXPECT_TRUE((Place{"8:1", "/s"}.within({"8:1", "/"})));
}

TEST(StorePlaces, AFileLiesInItsDirectory) {
  char name[] = "/var/tmp/uni-places-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string folder = name, inside = folder + "/f", link = folder + "/l";
  base::Fd file(::open(inside.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ASSERT_EQ(::symlink("/etc/passwd", link.c_str()), 0);
  auto at = [](const std::string& path) {
    return base::Fd(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  };
  StorePlaces places;
  const pid_t me = ::getpid();
  auto of = [&](const std::string& path) { return places.place(at(path), me, me); };
  ASSERT_TRUE(of(folder));
  places.add(*of(folder));
  EXPECT_TRUE(places.contains(*of(inside)));
  EXPECT_TRUE(places.contains(*of(link))) << "the link itself";
  EXPECT_FALSE(places.contains(*of("/etc/passwd")));
  EXPECT_FALSE(places.contains(*of("/var/tmp")));
  base::Fd gone = at(inside);
  ::unlink(inside.c_str());
  EXPECT_TRUE(places.contains(*places.place(gone, me, me))) << "a file without a name";
  EXPECT_FALSE(places.place(base::Fd(), me, me));
  ::unlink(link.c_str());
  ::rmdir(name);
}

}  // namespace
}  // namespace seccomp
