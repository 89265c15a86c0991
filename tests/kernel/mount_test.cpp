// The mount_program contract: argument forms, what a good mount leaves behind, how a mount ends.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#include <filesystem>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

std::string fd_target(pid_t pid, int fd) {
  return link_text("/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd));
}

std::string fs_type(const std::string& path) {
  struct statfs st = {};
  if (statfs(path.c_str(), &st) != 0) return outcome(-1);
  return st.f_type == 0x65735546 ? "fuse" : "other";
}

TEST(Mount, IsAFuseMountThatServesWhenTheProgramHasEnded) {
  OverlayMount m;
  write_file(m.lower() + "/f", "text");
  m.mount();
  EXPECT_EQ(fs_type(m.merged()), "fuse");
  EXPECT_EQ(read_file(m.at("f")), "text");
}

TEST(Mount, DaemonLetsGoOfItsCallersFilesAndDirectory) {
  OverlayMount m;
  m.mount();
  const pid_t pid = m.daemon();
  ASSERT_GT(pid, 0);
  for (int fd = 0; fd < 3; ++fd) EXPECT_EQ(fd_target(pid, fd), "/dev/null");
  EXPECT_EQ(link_text("/proc/" + std::to_string(pid) + "/cwd"), "/");
}

TEST(Mount, FusermountEndsTheDaemon) {
  OverlayMount m;
  m.mount();
  EXPECT_EQ(run({"fusermount3", "-u", m.merged()}).status, 0);
  EXPECT_EQ(m.wait_daemon(), 0);
  EXPECT_FALSE(is_mounted(m.merged()));
}

TEST(Mount, LazyUnmountEndsTheDaemon) {
  OverlayMount m;
  m.mount();
  EXPECT_EQ(outcome(umount2(m.merged().c_str(), MNT_DETACH)), "ok");
  EXPECT_EQ(m.wait_daemon(), 0);
}

class MountSignal : public testing::TestWithParam<int> {};

/// Dirty pages of the kernel's cache must reach the upper before the daemon goes.
TEST_P(MountSignal, UnmountsCleanlyAndKeepsWhatWasWritten) {
  OverlayMount m;
  m.mount();
  const std::string text(300000, 'd');
  EXPECT_EQ(write_file(m.at("f"), text), "ok");
  ASSERT_EQ(outcome(kill(m.daemon(), GetParam())), "ok");
  EXPECT_EQ(m.wait_daemon(), 0);
  EXPECT_FALSE(is_mounted(m.merged()));
  EXPECT_EQ(read_file(m.upper() + "/f").size(), text.size());
  EXPECT_EQ(read_file(m.upper() + "/f"), text);
}

INSTANTIATE_TEST_SUITE_P(Signals, MountSignal, testing::Values(SIGTERM, SIGINT, SIGHUP),
                         [](const auto& value) { return std::string(sigabbrev_np(value.param)); });

TEST(Mount, SignalUnmountsAMountMadeByARelativePath) {
  OverlayMount m;
  const Ran ran = run({mount_program(), "-o", m.options(), "merged"}, m.root());
  ASSERT_EQ(ran.status, 0) << ran.err;
  m.adopt(ran);
  kill(m.daemon(), SIGTERM);
  EXPECT_EQ(m.wait_daemon(), 0);
  EXPECT_FALSE(is_mounted(m.merged()));
}

TEST(Mount, RelativePathsAreResolvedInTheCallersDirectory) {
  OverlayMount m;
  write_file(m.lower() + "/f", "low");
  const Ran ran = run(
      {mount_program(), "-o", "lowerdir=lower0,upperdir=upper,workdir=work", "merged"}, m.root());
  ASSERT_EQ(ran.status, 0) << ran.err;
  m.adopt(ran);
  EXPECT_EQ(read_file(m.at("f")), "low");
  EXPECT_EQ(write_file(m.at("g"), "up"), "ok");
  EXPECT_EQ(read_file(m.upper() + "/g"), "up");
}

TEST(Mount, RepeatedOptionsAndSourceBeforeTarget) {
  OverlayMount m;
  write_file(m.lower() + "/f", "low");
  const Ran ran = run({mount_program(), "overlay", m.merged(), "-o", "workdir=" + m.work(), "-o",
                       "upperdir=" + m.upper(), "-olowerdir=" + m.lower() + ",dev,suid"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.err, "");
  m.adopt(ran);
  EXPECT_EQ(read_file(m.at("f")), "low");
}

TEST(Mount, UnknownOptionsAndEmptyTokensAreTakenInSilence) {
  OverlayMount m;
  m.set_options(",xattr_permissions=2,,metacopy=on,bogus=1,private,context=\"u:o:t:s0:c1,c2\",rw");
  m.mount();
  EXPECT_EQ(write_file(m.at("f"), "x"), "ok");
}

class MountOption : public testing::TestWithParam<const char*> {};

TEST_P(MountOption, IsAccepted) {
  OverlayMount m;
  m.set_options(GetParam());
  m.mount();
  EXPECT_EQ(write_file(m.at("f"), "x"), "ok");
  EXPECT_EQ(read_file(m.upper() + "/f"), "x");
}

INSTANTIATE_TEST_SUITE_P(
    Known, MountOption,
    testing::Values("squash_to_root", "squash_to_uid=0,squash_to_gid=0", "xattr_permissions=0",
                    "xattr_permissions=2", "static_nlink", "noacl", "volatile", "fsync=0",
                    "timeout=0", "timeout=60", "timeout=1.5", "threaded=1", "threaded=0",
                    "writeback=1", "writeback=0", "fast_ino=1", "noxattrs=1", "xino=off",
                    "xino=auto", "ino32_t", "redirect_dir=off", "plugins=/nowhere.so",
                    "nodev,nosuid,noexec,noatime", "allow_other,default_permissions",
                    "max_write=65536", "kernel_cache,splice_read", "uidmapping=:0:0:4294967294"),
    [](const auto& value) {
      std::string name = std::to_string(value.index) + "_";
      for (const char* at = value.param; *at != 0; ++at) name += isalnum(*at) ? *at : '_';
      return name;
    });

TEST(Mount, ForegroundServesUntilTheUnmount) {
  OverlayMount m;
  write_file(m.lower() + "/f", "low");
  const pid_t child = fork();
  if (child == 0) {
    execl(mount_program().c_str(), "uni", "-f", "-o", m.options().c_str(), m.merged().c_str(),
          nullptr);
    _exit(127);
  }
  for (int tries = 0; tries < 500 && !is_mounted(m.merged()); ++tries) usleep(10000);
  EXPECT_EQ(read_file(m.at("f")), "low");
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, WNOHANG), 0) << "-f must stay in the foreground";
  EXPECT_EQ(outcome(umount2(m.merged().c_str(), 0)), "ok");
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(Mount, HelpAndVersionExitWithZero) {
  for (const std::string flag : {"-h", "--help", "-V", "--version"}) {
    const Ran ran = run({mount_program(), flag});
    EXPECT_EQ(ran.status, 0) << flag;
    EXPECT_NE(ran.out + ran.err, "") << flag;
  }
}

TEST(Mount, FiveHundredLowersAndAnOptionStringOfTwentyKilobytes) {
  OverlayMount m;
  std::vector<std::string> lowers;
  for (int i = 0; i < 500; ++i) {
    const std::string number = std::to_string(1000 + i);
    lowers.push_back(m.root() + "/a-layer-with-a-rather-long-name-as-engines-give-" + number);
    make_dir(lowers.back());
    write_file(lowers.back() + "/own" + number, number);
    write_file(lowers.back() + "/same", number);
  }
  OverlayMount deep({.lowers = 0, .lower_paths = lowers});
  ASSERT_GT(deep.options().size(), 20000U);
  deep.mount();
  EXPECT_EQ(read_file(deep.at("own1000")), "1000");
  EXPECT_EQ(read_file(deep.at("own1499")), "1499");
  EXPECT_EQ(read_file(deep.at("same")), "1000");
  EXPECT_EQ(outcome(unlink(deep.at("same").c_str())), "ok");
  EXPECT_EQ(read_file(deep.at("same")), "<ENOENT>");
}

TEST(Mount, TheKernelResolvesDotDotBehindASymlink) {
  OverlayMount m;
  make_dir(m.root() + "/store");
  make_dir(m.root() + "/store/diff");
  make_dir(m.root() + "/store/diff1");
  make_dir(m.root() + "/l");
  make_link("../store/diff", m.root() + "/l/X");
  write_file(m.root() + "/store/diff1/f", "right");
  make_dir(m.root() + "/l/diff1");
  write_file(m.root() + "/l/diff1/f", "lexical");
  OverlayMount by_link({.lowers = 0, .lower_paths = {m.root() + "/l/X/../diff1"}});
  by_link.mount();
  EXPECT_EQ(read_file(by_link.at("f")), "right");
}

TEST(Mount, ColonInAPathIsEscaped) {
  OverlayMount m;
  make_dir(m.root() + "/a:b");
  write_file(m.root() + "/a:b/f", "colon");
  OverlayMount colon({.lowers = 0, .lower_paths = {m.root() + "/a\\:b", m.lower()}});
  colon.mount();
  EXPECT_EQ(read_file(colon.at("f")), "colon");
}

TEST(Mount, WithoutUpperReadsAndRefusesToWrite) {
  OverlayMount m({.lowers = 2, .with_upper = false});
  write_file(m.lower(0) + "/f", "0");
  write_file(m.lower(1) + "/g", "1");
  m.mount();
  EXPECT_EQ(read_file(m.at("f")) + read_file(m.at("g")), "01");
  EXPECT_EQ(write_file(m.at("f"), "x"), "EROFS");
  EXPECT_EQ(write_file(m.at("new"), "x"), "EROFS");
  EXPECT_EQ(make_dir(m.at("d")), "EROFS");
  EXPECT_EQ(make_link("f", m.at("s")), "EROFS");
  EXPECT_EQ(outcome(unlink(m.at("f").c_str())), "EROFS");
  EXPECT_EQ(outcome(rename(m.at("f").c_str(), m.at("h").c_str())), "EROFS");
  EXPECT_EQ(outcome(link(m.at("f").c_str(), m.at("h").c_str())), "EROFS");
  EXPECT_EQ(outcome(chmod(m.at("f").c_str(), 0600)), "EROFS");
  EXPECT_EQ(own(m.at("f"), 5, 5), "EROFS");
  EXPECT_EQ(outcome(truncate(m.at("f").c_str(), 0)), "EROFS");
  EXPECT_EQ(set_xattr(m.at("f"), "user.a", "1"), "EROFS");
  EXPECT_EQ(outcome(utimensat(AT_FDCWD, m.at("f").c_str(), nullptr, 0)), "EROFS");
  EXPECT_EQ(read_file(m.lower(0) + "/f"), "0");
}

/// As podman's read-only views: its own layer first, an empty parents' part after the colon.
TEST(Mount, AnEmptyLowerAfterAColonIsIgnored) {
  OverlayMount m({.lowers = 0, .with_upper = false, .lower_paths = {"/proc/self/cwd", ""}});
  const Ran ran = run({mount_program(), "-o", "lowerdir=" + m.plain() + ":", m.merged()}, m.root());
  EXPECT_EQ(ran.status, 0) << ran.err;
  m.adopt(ran);
  write_file(m.plain() + "/f", "x");
  EXPECT_EQ(names_in(m.merged()), "f");
}

TEST(Mount, StatfsIsThatOfTheUpper) {
  OverlayMount m;
  ASSERT_EQ(m.add_tmpfs(m.lower(), 1024), "ok");
  m.mount();
  struct statfs merged = {}, upper = {};
  ASSERT_EQ(statfs(m.merged().c_str(), &merged), 0);
  ASSERT_EQ(statfs(m.upper().c_str(), &upper), 0);
  EXPECT_EQ(merged.f_blocks * merged.f_frsize, upper.f_blocks * upper.f_frsize);
  EXPECT_EQ(merged.f_files, upper.f_files);
}

TEST(Mount, VolatileAnswersFsync) {
  OverlayMount m;
  m.set_options("volatile");
  write_file(m.lower() + "/f", "low");
  m.mount();
  const base::Fd fd = open_at(m.at("f"), O_RDWR);
  EXPECT_EQ(outcome(pwrite(fd.get(), "HI", 2, 0)), "ok");
  EXPECT_EQ(outcome(fsync(fd.get())), "ok");
  EXPECT_EQ(outcome(fdatasync(fd.get())), "ok");
  const base::Fd dir = open_at(m.merged(), O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(outcome(fsync(dir.get())), "ok");
}

TEST(Mount, FsyncOfFileAndDirectoryAndSyncfs) {
  OverlayMount m;
  write_file(m.lower() + "/f", "low");
  m.mount();
  const base::Fd fd = open_at(m.at("f"), O_RDWR);
  EXPECT_EQ(outcome(pwrite(fd.get(), "HI", 2, 0)), "ok");
  EXPECT_EQ(outcome(fsync(fd.get())), "ok");
  EXPECT_EQ(read_file(m.upper() + "/f"), "HIw");
  const base::Fd dir = open_at(m.merged(), O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(outcome(fsync(dir.get())), "ok");
  EXPECT_EQ(outcome(syncfs(dir.get())), "ok");
}

TEST(Mount, TwoMountsOverTheSameLowersDoNotDisturbEachOther) {
  OverlayMount a;
  write_file(a.lower() + "/f", "low");
  OverlayMount b({.lowers = 0, .lower_paths = {a.lower()}});
  a.mount();
  b.mount();
  EXPECT_EQ(write_file(a.at("f"), "A"), "ok");
  EXPECT_EQ(outcome(unlink(b.at("f").c_str())), "ok");
  EXPECT_EQ(read_file(a.at("f")), "A");
  EXPECT_EQ(read_file(b.at("f")), "<ENOENT>");
  EXPECT_EQ(read_file(a.lower() + "/f"), "low");
}

}  // namespace
}  // namespace kernel_test
