#include "images/overlay_dirs.hpp"

#include <gmock/gmock.h>
#include <sys/sysmacros.h>

#include "tests/images/tree.hpp"

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* kTable =
    "23 1 254:0 / / rw - ext4 /dev/vda rw\n"
    "160 159 0:41 / /s/overlay/one/merged rw,nodev - fuse.x x rw\n"
    "161 159 0:61 / /s/overlay/two/merged rw,nodev shared:7 - fuse.x x rw\n"
    "162 159 0:61 /etc /s/overlay/part/merged rw - fuse.x x rw\n"
    "184 183 0:61 / /tmp/buildah1/mnt/rootfs rw,nodev - fuse.x x rw\n"
    "185 183 10:61 / /s/overlay/other/merged rw - fuse.x x rw\n"
    "186 183 0:61 / /s/overlay/three/merged";

TEST(MergedMounts, AreThoseOfTheDeviceAndItsRoot) {
  EXPECT_THAT(images::merged_mounts(kTable, makedev(0, 61)),
              ElementsAre("/s/overlay/two/merged", "/s/overlay/three/merged"));
  EXPECT_THAT(images::merged_mounts(kTable, makedev(0, 41)), ElementsAre("/s/overlay/one/merged"));
  EXPECT_THAT(images::merged_mounts(kTable, makedev(254, 0)), IsEmpty());
}

TEST(MergedMounts, AreNotTheirBindMounts) {
  const char* info =
      "22 1 0:20 / / rw - ext4 /dev/x rw\n"
      "50 22 0:56 / /home/u/overlay/ab/merged rw - fuse.usernetes-identity usernetes-identity rw\n"
      "51 22 0:57 /sub /home/u/overlay/cd/merged rw - fuse.x x rw\n"
      "52 22 0:56 / /tmp/buildah1/mnt/rootfs rw - fuse.usernetes-identity usernetes-identity rw";
  EXPECT_THAT(images::merged_mounts(info, makedev(0, 56)),
              ElementsAre("/home/u/overlay/ab/merged"));
  EXPECT_THAT(images::merged_mounts(info, makedev(0, 57)), IsEmpty());
  EXPECT_THAT(images::merged_mounts(info, makedev(0, 5)), IsEmpty());
  EXPECT_FALSE(images::overlay_dirs_of("/proc"));
}

TEST(MergedMounts, OfTextThatIsNoTable) {
  EXPECT_THAT(images::merged_mounts("x\n\n1 2 3", makedev(0, 3)), IsEmpty());
  EXPECT_THAT(images::merged_mounts("", 0), IsEmpty());
  EXPECT_THAT(images::merged_mounts("\n\n \n0:0", 0), IsEmpty());
  EXPECT_THAT(images::merged_mounts("1 2 0:0", 0), IsEmpty());
}

TEST(OverlayDirs, ADirectoryThatIsNoMountHasNone) {
  Tree tree;
  EXPECT_FALSE(images::overlay_dirs_of(tree.path()));
  EXPECT_FALSE(images::overlay_dirs_of(tree.path() / "missing"));
}

}  // namespace
