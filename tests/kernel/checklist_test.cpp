// The semantics in which overlay file systems are known to differ, one test a row. Where others
// deviate from a disk file system, the expectation is what a program on ext4 would see.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <set>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

std::string rename_with(const std::string& from, const std::string& to, unsigned flags) {
  return outcome(renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags));
}

nlink_t links_of(int fd) {
  struct stat st = {};
  return fstat(fd, &st) == 0 ? st.st_nlink : 999;
}

TEST(Checklist, OpenUnlinkedUpperFileStaysUsableWithNlinkZero) {
  OverlayMount m;
  m.mount();
  write_file(m.at("f"), "text");
  const base::Fd fd = open_at(m.at("f"), O_RDWR);
  EXPECT_EQ(outcome(unlink(m.at("f").c_str())), "ok");
  EXPECT_EQ(links_of(fd.get()), 0U);
  EXPECT_EQ(outcome(fchmod(fd.get(), 0600)), "ok");
  EXPECT_EQ(outcome(fchown(fd.get(), 60000, 60000)), "ok");
  EXPECT_EQ(outcome(ftruncate(fd.get(), 2)), "ok");
  EXPECT_EQ(outcome(fsetxattr(fd.get(), "user.a", "1", 1, 0)), "ok");
  EXPECT_EQ(outcome(pwrite(fd.get(), "more", 4, 2)), "ok");
  EXPECT_EQ(read_fd(fd.get()), "temore");
  struct stat st = {};
  EXPECT_EQ(fstat(fd.get(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600U);
  EXPECT_EQ(st.st_uid, 60000U);
  EXPECT_EQ(st.st_size, 6);
  EXPECT_EQ(names_in(m.merged()), "");
}

TEST(Checklist, OpenUnlinkedLowerFileStaysReadable) {
  OverlayMount m;
  write_file(m.lower() + "/f", "low");
  m.mount();
  const base::Fd fd = open_at(m.at("f"), O_RDONLY);
  EXPECT_EQ(outcome(unlink(m.at("f").c_str())), "ok");
  EXPECT_EQ(links_of(fd.get()), 0U);
  EXPECT_EQ(read_fd(fd.get()), "low");
  EXPECT_EQ(write_file(m.at("f"), "new"), "ok");
  EXPECT_EQ(read_fd(fd.get()), "low");
  EXPECT_EQ(read_file(m.lower() + "/f"), "low");
}

TEST(Checklist, OpenUnlinkedLowerFileCanStillBeWrittenByItsDescriptor) {
  OverlayMount m;
  write_file(m.lower() + "/f", "low");
  m.mount();
  const base::Fd fd = open_at(m.at("f"), O_RDWR);
  EXPECT_EQ(outcome(unlink(m.at("f").c_str())), "ok");
  EXPECT_EQ(outcome(pwrite(fd.get(), "HIGH", 4, 0)), "ok");
  EXPECT_EQ(outcome(fchmod(fd.get(), 0600)), "ok");
  EXPECT_EQ(read_fd(fd.get()), "HIGH");
  EXPECT_EQ(read_file(m.lower() + "/f"), "low");
  EXPECT_EQ(names_in(m.merged()), "");
}

TEST(Checklist, UnlinkOfOneOfTwoNamesCountsDown) {
  OverlayMount m;
  m.mount();
  write_file(m.at("a"), "x");
  EXPECT_EQ(outcome(link(m.at("a").c_str(), m.at("b").c_str())), "ok");
  EXPECT_EQ(stat_of(m.at("a")).st_nlink, 2U);
  EXPECT_EQ(stat_of(m.at("a")).st_ino, stat_of(m.at("b")).st_ino);
  const base::Fd fd = open_at(m.at("a"), O_RDONLY);
  unlink(m.at("a").c_str());
  EXPECT_EQ(links_of(fd.get()), 1U);
  EXPECT_EQ(stat_of(m.at("b")).st_nlink, 1U);
}

TEST(Checklist, LowerHardLinksShowTheTrueCount) {
  OverlayMount m;
  write_file(m.lower() + "/a", "x");
  link((m.lower() + "/a").c_str(), (m.lower() + "/b").c_str());
  make_dir(m.lower() + "/d");
  link((m.lower() + "/a").c_str(), (m.lower() + "/d/c").c_str());
  m.mount();
  EXPECT_EQ(stat_of(m.at("a")).st_nlink, 3U) << "before the other names are seen";
  EXPECT_EQ(stat_of(m.at("d/c")).st_ino, stat_of(m.at("a")).st_ino);
  EXPECT_EQ(stat_of(m.at("b")).st_nlink, 3U);
}

/// Either all names change (an index) or only the named one does and has its own inode number.
TEST(Checklist, CopyUpOfOneHardLinkNameNeverLeavesTwoFilesOnOneInode) {
  OverlayMount m;
  write_file(m.lower() + "/h1", "low");
  link((m.lower() + "/h1").c_str(), (m.lower() + "/h2").c_str());
  m.mount();
  EXPECT_EQ(stat_of(m.at("h2")).st_nlink, 2U);
  EXPECT_EQ(outcome(chmod(m.at("h1").c_str(), 0600)), "ok");
  EXPECT_EQ(own(m.at("h1"), 60000, 60000), "ok");
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(mode_of(m.at("h1")), "0600");
    EXPECT_EQ(owner_of(m.at("h1")), "60000:60000");
    const bool same_inode = stat_of(m.at("h1")).st_ino == stat_of(m.at("h2")).st_ino;
    const bool same_mode = mode_of(m.at("h1")) == mode_of(m.at("h2"));
    const bool same_owner = owner_of(m.at("h1")) == owner_of(m.at("h2"));
    EXPECT_EQ(same_inode, same_mode) << "round " << round;
    EXPECT_EQ(same_inode, same_owner) << "round " << round;
    if (!same_inode) {
      EXPECT_EQ(mode_of(m.at("h2")), "0644");
    }
    m.remount();
  }
  EXPECT_EQ(write_file(m.at("h1"), "changed"), "ok");
  const bool same_inode = stat_of(m.at("h1")).st_ino == stat_of(m.at("h2")).st_ino;
  EXPECT_EQ(read_file(m.at("h2")), same_inode ? "changed" : "low");
}

TEST(Checklist, ReadDescriptorSeesALaterCopyUpAndTheInodeNumberStays) {
  OverlayMount m;
  write_file(m.lower() + "/f", "low");
  m.mount();
  const base::Fd reader = open_at(m.at("f"), O_RDONLY);
  EXPECT_EQ(read_fd(reader.get()), "low");
  const ino_t before = stat_of(m.at("f")).st_ino;
  EXPECT_EQ(write_file(m.at("f"), "upper text"), "ok");
  EXPECT_EQ(read_fd(reader.get()), "upper text");
  EXPECT_EQ(stat_of(m.at("f")).st_ino, before);
  EXPECT_EQ(read_file(m.lower() + "/f"), "low");
}

TEST(Checklist, MapOfALowerFileSeesALaterCopyUp) {
  OverlayMount m;
  write_file(m.lower() + "/f", std::string(8192, 'l'));
  m.mount();
  const base::Fd reader = open_at(m.at("f"), O_RDONLY);
  auto* map = static_cast<char*>(mmap(nullptr, 8192, PROT_READ, MAP_SHARED, reader.get(), 0));
  ASSERT_NE(map, MAP_FAILED);
  EXPECT_EQ(map[4097], 'l');
  const base::Fd writer = open_at(m.at("f"), O_RDWR);
  EXPECT_EQ(outcome(pwrite(writer.get(), "U", 1, 4097)), "ok");
  EXPECT_EQ(map[4097], 'U');
  munmap(map, 8192);
}

TEST(Checklist, SharedMapAndReadAndWriteAreCoherent) {
  OverlayMount m;
  write_file(m.lower() + "/f", std::string(8192, 'l'));
  m.mount();
  const base::Fd fd = open_at(m.at("f"), O_RDWR);
  auto* map =
      static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  ASSERT_NE(map, MAP_FAILED);
  map[100] = 'M';
  EXPECT_EQ(read_fd(fd.get())[100], 'M');
  EXPECT_EQ(outcome(pwrite(fd.get(), "W", 1, 5000)), "ok");
  EXPECT_EQ(map[5000], 'W');
  EXPECT_EQ(outcome(msync(map, 8192, MS_SYNC)), "ok");
  EXPECT_EQ(read_file(m.upper() + "/f")[100], 'M');
  munmap(map, 8192);
  EXPECT_EQ(read_file(m.lower() + "/f"), std::string(8192, 'l'));
}

TEST(Checklist, SymlinkCopyUpKeepsTheOwner) {
  OverlayMount m;
  make_link("target", m.lower() + "/s");
  own(m.lower() + "/s", 1500, 1600);
  m.mount();
  EXPECT_EQ(outcome(rename(m.at("s").c_str(), m.at("t").c_str())), "ok");
  EXPECT_EQ(owner_of(m.at("t")), "1500:1600");
  EXPECT_EQ(link_text(m.at("t")), "target");
  m.remount();
  EXPECT_EQ(owner_of(m.at("t")), "1500:1600");
}

TEST(Checklist, FifoSocketAndDeviceCopyUp) {
  OverlayMount m;
  mknod((m.lower() + "/fifo").c_str(), S_IFIFO | 0600, 0);
  mknod((m.lower() + "/sock").c_str(), S_IFSOCK | 0640, 0);
  mknod((m.lower() + "/null").c_str(), S_IFCHR | 0666, makedev(1, 3));
  m.mount();
  for (const std::string name : {"fifo", "sock", "null"}) {
    EXPECT_EQ(own(m.at(name), 60000, 1500), "ok") << name;
    EXPECT_EQ(outcome(chmod(m.at(name).c_str(), 0604)), "ok") << name;
  }
  m.remount();
  EXPECT_EQ(kind_of(m.at("fifo")) + kind_of(m.at("sock")) + kind_of(m.at("null")), "fifosockchar");
  EXPECT_EQ(stat_of(m.at("null")).st_rdev, makedev(1, 3));
  for (const std::string name : {"fifo", "sock", "null"}) {
    EXPECT_EQ(owner_of(m.at(name)) + " " + mode_of(m.at(name)), "60000:1500 0604") << name;
  }
  EXPECT_EQ(owner_of(m.lower() + "/fifo"), "0:0");
}

TEST(Checklist, UnnamedTemporaryFileAndLink) {
  OverlayMount m;
  make_dir(m.lower() + "/d");
  m.mount();
  base::Fd fd = open_at(m.at("d"), O_TMPFILE | O_RDWR, 0640);
  ASSERT_EQ(outcome(fd), "ok");
  EXPECT_EQ(links_of(fd.get()), 0U);
  EXPECT_EQ(outcome(write(fd.get(), "tmp", 3)), "ok");
  EXPECT_EQ(names_in(m.at("d")), "");
  const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
  EXPECT_EQ(
      outcome(linkat(AT_FDCWD, self.c_str(), AT_FDCWD, m.at("d/f").c_str(), AT_SYMLINK_FOLLOW)),
      "ok");
  EXPECT_EQ(links_of(fd.get()), 1U);
  fd.reset();
  m.remount();
  EXPECT_EQ(read_file(m.at("d/f")) + " " + mode_of(m.at("d/f")), "tmp 0640");
}

TEST(Checklist, UnnamedTemporaryFileBelongsToItsMaker) {
  OverlayMount m;
  m.mount();
  chmod(m.merged().c_str(), 01777);
  const std::string made = run_as(1000, 1000, {}, [&] {
    const base::Fd fd = open_at(m.merged(), O_TMPFILE | O_RDWR, 0600);
    if (!fd.valid()) return outcome(fd);
    const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
    return outcome(linkat(AT_FDCWD, self.c_str(), AT_FDCWD, m.at("f").c_str(), AT_SYMLINK_FOLLOW));
  });
  EXPECT_EQ(made, "ok");
  EXPECT_EQ(owner_of(m.at("f")) + " " + mode_of(m.at("f")), "1000:1000 0600");
}

TEST(Checklist, SeekDataAndHoleAreExact) {
  const auto prepare = [](const std::string& dir) {
    const base::Fd fd = open_at(dir + "/f", O_CREAT | O_RDWR);
    if (ftruncate(fd.get(), 1 << 20) != 0 || pwrite(fd.get(), "data", 4, 512 << 10) < 0) abort();
    fsync(fd.get());
  };
  const auto story = [](const std::string& dir) {
    const base::Fd fd = open_at(dir + "/f", O_RDONLY);
    std::string text;
    for (const off_t from : {0, 512 << 10, (512 << 10) + 8192, 1 << 20}) {
      for (const int whence : {SEEK_DATA, SEEK_HOLE}) {
        const off_t at = lseek(fd.get(), from, whence);
        text += (at < 0 ? outcome(-1) : std::to_string(at)) + " ";
      }
    }
    return text;
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Checklist, SparseFileStaysSparseInCopyUp) {
  OverlayMount m;
  {
    const base::Fd fd = open_at(m.lower() + "/f", O_CREAT | O_RDWR);
    ASSERT_EQ(ftruncate(fd.get(), 64 << 20), 0);
    ASSERT_EQ(pwrite(fd.get(), "data", 4, 32 << 20), 4);
  }
  m.mount();
  EXPECT_EQ(outcome(chmod(m.at("f").c_str(), 0600)), "ok");
  EXPECT_EQ(stat_of(m.upper() + "/f").st_size, 64 << 20);
  EXPECT_LT(stat_of(m.upper() + "/f").st_blocks * 512, 4 << 20);
}

TEST(Checklist, InodeFlagsByIoctl) {
  const auto prepare = [](const std::string& dir) { write_file(dir + "/f", "x"); };
  const auto story = [](const std::string& dir) {
    const base::Fd fd = open_at(dir + "/f", O_RDWR);
    unsigned flags = 0;
    fsxattr attr = {};
    std::string text = outcome(ioctl(fd.get(), FS_IOC_GETFLAGS, &flags));
    text += " " + std::to_string(flags) + " " + outcome(ioctl(fd.get(), FS_IOC_FSGETXATTR, &attr));
    text += " " + std::to_string(attr.fsx_xflags);
    flags |= FS_NODUMP_FL;
    text += " " + outcome(ioctl(fd.get(), FS_IOC_SETFLAGS, &flags));
    flags = 0;
    ioctl(fd.get(), FS_IOC_GETFLAGS, &flags);
    return text + " " + ((flags & FS_NODUMP_FL) != 0 ? "nodump" : "dump");
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Checklist, BirthTimeByStatx) {
  OverlayMount m;
  write_file(m.lower() + "/low", "x");
  m.mount();
  write_file(m.at("up"), "x");
  for (const std::string name : {"low", "up"}) {
    struct statx seen = {}, disk = {};
    const std::string below = (name == "low" ? m.lower() : m.upper()) + "/" + name;
    ASSERT_EQ(statx(AT_FDCWD, m.at(name).c_str(), AT_SYMLINK_NOFOLLOW, STATX_BTIME, &seen), 0);
    ASSERT_EQ(statx(AT_FDCWD, below.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BTIME, &disk), 0);
    ASSERT_NE(disk.stx_mask & STATX_BTIME, 0U);
    EXPECT_NE(seen.stx_mask & STATX_BTIME, 0U) << name;
    EXPECT_EQ(seen.stx_btime.tv_sec, disk.stx_btime.tv_sec) << name;
    EXPECT_EQ(seen.stx_btime.tv_nsec, disk.stx_btime.tv_nsec) << name;
  }
}

TEST(Checklist, ReflinkAnswersAsTheDiskDoes) {
  const auto prepare = [](const std::string& dir) {
    write_file(dir + "/f", "text");
    write_file(dir + "/g", "");
  };
  const auto story = [](const std::string& dir) {
    const base::Fd from = open_at(dir + "/f", O_RDONLY);
    const base::Fd to = open_at(dir + "/g", O_RDWR);
    return outcome(ioctl(to.get(), FICLONE, from.get()));
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Checklist, RunningProgramIsBusyForWriters) {
  OverlayMount m;
  ASSERT_EQ(run({"cp", "/bin/sleep", m.lower() + "/nap"}).status, 0);
  m.mount();
  const pid_t child = fork();
  if (child == 0) {
    execl(m.at("nap").c_str(), "nap", "30", nullptr);
    _exit(127);
  }
  for (int tries = 0; tries < 200; ++tries) {
    if (link_text("/proc/" + std::to_string(child) + "/exe") == m.at("nap")) break;
    usleep(10000);
  }
  EXPECT_EQ(outcome(open_at(m.at("nap"), O_WRONLY)), "ETXTBSY");
  EXPECT_EQ(outcome(truncate(m.at("nap").c_str(), 0)), "ETXTBSY");
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(outcome(open_at(m.at("nap"), O_WRONLY)), "ok");
}

TEST(Checklist, DirectoryLinkCountIsOneOrTwoPlusSubdirectories) {
  OverlayMount m({.lowers = 2});
  make_dir(m.lower(0) + "/d");
  make_dir(m.lower(0) + "/d/a");
  make_dir(m.lower(1) + "/d");
  make_dir(m.lower(1) + "/d/b");
  m.mount();
  const auto count = stat_of(m.at("d")).st_nlink;
  EXPECT_TRUE(count == 1 || count == 4) << count;
}

TEST(Checklist, WhiteoutDeviceCannotBeMade) {
  OverlayMount m;
  write_file(m.lower() + "/f", "low");
  m.mount();
  EXPECT_EQ(outcome(mknod(m.at("w").c_str(), S_IFCHR | 0600, makedev(0, 0))), "EPERM");
  EXPECT_EQ(outcome(mknod(m.at("f").c_str(), S_IFCHR | 0600, makedev(0, 0))), "EEXIST");
  EXPECT_EQ(read_file(m.at("f")), "low");
}

TEST(Checklist, DirectoryOfMode0555CanBeMadeByAnyone) {
  OverlayMount m;
  m.mount();
  chmod(m.merged().c_str(), 01777);
  EXPECT_EQ(run_as(1000, 1000, {}, [&] { return make_dir(m.at("d"), 0555); }), "ok");
  EXPECT_EQ(mode_of(m.at("d")) + " " + owner_of(m.at("d")), "0555 1000:1000");
  EXPECT_EQ(run_as(1000, 1000, {}, [&] { return write_file(m.at("f"), "x", 0444); }), "ok");
  EXPECT_EQ(mode_of(m.at("f")), "0444");
  EXPECT_EQ(run_as(1000, 1000, {}, [&] { return make_dir(m.at("none"), 0); }), "ok");
  EXPECT_EQ(mode_of(m.at("none")), "0000");
}

TEST(Checklist, CreateModeAndUmaskAreHonoured) {
  const auto prepare = [](const std::string&) {};
  const auto story = [](const std::string& dir) {
    std::string text;
    for (const mode_t mask : {0U, 022U, 077U, 0177U}) {
      const std::string name = dir + "/m" + std::to_string(mask);
      umask(mask);
      write_file(name + "f", "", 0666);
      make_dir(name + "d", 0777);
      mknod((name + "p").c_str(), S_IFIFO | 0666, 0);
      make_link("x", name + "l");
      for (const char* kind : {"f", "d", "p", "l"}) text += mode_of(name + kind) + " ";
    }
    umask(022);
    return text;
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Checklist, ModeSurvivesChownOfAFreshFile) {
  for (const std::string options : {"", "xattr_permissions=2"}) {
    OverlayMount m;
    m.set_options(options);
    m.mount();
    write_file(m.at("f"), "x", 0640);
    make_dir(m.at("d"), 0711);
    EXPECT_EQ(own(m.at("f"), 60000, 60000) + own(m.at("d"), 60000, 60000), "okok");
    m.remount();
    EXPECT_EQ(mode_of(m.at("f")) + " " + owner_of(m.at("f")), "0640 60000:60000") << options;
    EXPECT_EQ(mode_of(m.at("d")) + " " + owner_of(m.at("d")), "0711 60000:60000") << options;
  }
}

TEST(Checklist, RenameFlags) {
  OverlayMount m;
  write_file(m.lower() + "/low", "low");
  write_file(m.lower() + "/low2", "low2");
  m.mount();
  write_file(m.at("up"), "up");
  EXPECT_EQ(rename_with(m.at("up"), m.at("low"), RENAME_NOREPLACE), "EEXIST");
  EXPECT_EQ(rename_with(m.at("up"), m.at("new"), RENAME_NOREPLACE), "ok");
  EXPECT_EQ(rename_with(m.at("new"), m.at("low"), RENAME_EXCHANGE), "ok");
  EXPECT_EQ(read_file(m.at("new")) + " " + read_file(m.at("low")), "low up");
  EXPECT_EQ(rename_with(m.at("low2"), m.at("new"), RENAME_EXCHANGE), "ok");
  EXPECT_EQ(read_file(m.at("new")) + " " + read_file(m.at("low2")), "low2 low");
  EXPECT_EQ(rename_with(m.at("low2"), m.at("absent"), RENAME_EXCHANGE), "ENOENT");
  EXPECT_EQ(rename_with(m.at("low2"), m.at("white"), RENAME_WHITEOUT), "EINVAL");
  m.remount();
  EXPECT_EQ(read_file(m.at("new")) + read_file(m.at("low2")) + read_file(m.at("low")), "low2lowup");
  EXPECT_EQ(names_in(m.merged()), "low low2 new");
}

}  // namespace
}  // namespace kernel_test
