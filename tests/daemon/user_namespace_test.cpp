// Where the daemon's ids come from, and what it leaves behind. The namespaces are real ones.
#include "daemon/user_namespace.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/daemon/in_child.hpp"

namespace serving {
namespace {

using daemon_test::in_child;

using Words = std::vector<std::string>;

TEST(SubIds, OfThisUserByNameOrNumberSortedByFirst) {
  auto found = sub_ids(
      "other:1:1\nme:200000:5\n# x\nme:100000:1999\n1000:300000:7\nmess\nme:x:1\n"
      "me:5:0\nme:7:\n:9:9\n",
      "me", 1000);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].first, 100000u);
  EXPECT_EQ(found[2].count, 7u);
  EXPECT_EQ(id_map_arguments(1000, found), (Words{"0", "1000", "1", "1", "100000", "1999", "2000",
                                                  "200000", "5", "2005", "300000", "7"}));
}

TEST(SubIds, NoNameMatchesNoLineWithoutOne) {
  EXPECT_TRUE(sub_ids(":9:9\n", "", 1000).empty());
  EXPECT_TRUE(sub_ids("", "me", 1000).empty());
}

TEST(SubIds, MoreRangesThanAMapCanHaveAreCut) {
  std::string file;
  for (int i = 0; i < 1000; ++i) file += "me:" + std::to_string(100000 + i * 10) + ":5\n";
  EXPECT_EQ(sub_ids(file, "me", 1).size(), 300u);
}

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line, word, out;
  std::getline(file, line);
  std::istringstream words(line);
  while (words >> word) out += (out.empty() ? "" : " ") + word;
  return out;
}

// As after a login: its own files in /proc are its own.
bool become_plain_user() {
  return ::setgid(54321) == 0 && ::setuid(54321) == 0 && ::prctl(PR_SET_DUMPABLE, 1) == 0;
}

class PauseFile : public testing::Test {
 protected:
  void SetUp() override {
    char text[] = "/tmp/pause.XXXXXX";
    dir = ::mkdtemp(text);
    std::filesystem::create_directories(dir + "/libpod/tmp");
    ::setenv("XDG_RUNTIME_DIR", dir.c_str(), 1);
  }
  void TearDown() override { std::filesystem::remove_all(dir); }
  void write(const std::string& text) const { std::ofstream(file()) << text; }
  std::string file() const { return dir + "/libpod/tmp/pause.pid"; }
  static std::string why() {
    auto found = open_pause_process();
    return found ? "" : found.error().message;
  }
  std::string dir;
};

TEST_F(PauseFile, OfAProcessOfOurs) {
  write(std::to_string(::getpid()) + "\n");
  // Whoever made the namespace in which we are root is root here.
  auto found = open_pause_process();
  EXPECT_EQ(found.has_value(), ::geteuid() == 0);
}

TEST_F(PauseFile, IsNotBelievedBlindly) {
  EXPECT_NE(why().find("No such file"), std::string::npos) << why();
  for (const char* text : {"", "x", "-1", "99999999999", "12 34", "4194305"}) {
    write(text);
    EXPECT_NE(why(), "") << text;
  }
  std::filesystem::remove(file());
  ASSERT_EQ(::symlink("/proc/self/stat", file().c_str()), 0);
  EXPECT_NE(why(), "");
  std::filesystem::remove(file());
  ASSERT_EQ(::mkfifo(file().c_str(), 0600), 0);
  EXPECT_NE(why().find("not a file of ours"), std::string::npos) << why();
}

TEST_F(PauseFile, OfAnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give the file to another user";
  write(std::to_string(::getpid()));
  ASSERT_EQ(::chown(file().c_str(), 12345, 12345), 0);
  EXPECT_NE(why().find("not a file of ours"), std::string::npos) << why();
}

TEST(UserNamespace, RootStaysWhereItIs) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  EXPECT_EQ(in_child([] { return enter_user_namespace().value_or("failed"); }), "root already");
}

TEST(UserNamespace, APlainUserWithoutSubIdsBecomesRootOfOneId) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become a plain user";
  EXPECT_EQ(in_child([] {
              ::unsetenv("XDG_RUNTIME_DIR");
              if (!become_plain_user()) return std::string("setuid");
              auto done = enter_user_namespace();
              if (!done) return done.error().message;
              return std::to_string(::getuid()) + " " + first_line("/proc/self/uid_map") + ": " +
                     *done;
            }),
            "0 0 54321 1: made a user namespace of one id: no sub-ids, or no newuidmap");
}

TEST(UserNamespace, APlainUserJoinsThePauseProcess) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become a plain user";
  char text[] = "/tmp/pause.XXXXXX";
  std::string dir = ::mkdtemp(text);
  std::filesystem::create_directories(dir + "/libpod/tmp");
  ASSERT_EQ(::chmod(dir.c_str(), 0777), 0);
  ASSERT_EQ(::chmod((dir + "/libpod/tmp").c_str(), 0777), 0);
  std::string got = in_child([&] {
    ::setenv("XDG_RUNTIME_DIR", dir.c_str(), 1);
    if (!become_plain_user()) return std::string("setuid");
    int ends[2];
    if (::pipe(ends) != 0) return std::string("pipe");
    pid_t pause = ::fork();
    if (pause == 0) {
      bool made = ::unshare(CLONE_NEWUSER) == 0;
      std::ofstream("/proc/self/uid_map") << "0 54321 1";
      std::ofstream("/proc/self/setgroups") << "deny";
      std::ofstream("/proc/self/gid_map") << "0 54321 1";
      (void)!::write(ends[1], made ? "y" : "n", 1);
      ::pause();
    }
    char made = 'n';
    (void)!::read(ends[0], &made, 1);
    std::ofstream(dir + "/libpod/tmp/pause.pid") << pause << "\n";
    auto done = enter_user_namespace();
    ::kill(pause, SIGKILL);
    return std::string(1, made) + " " + std::to_string(::getuid()) + " " +
           (done ? *done : done.error().message);
  });
  EXPECT_EQ(got, "y 0 joined the user namespace of podman, or of the daemon that runs");
  std::filesystem::remove_all(dir);
}

TEST(SmallRoot, KeepsWhatItIsToldAndNothingElse) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make a mount namespace";
  char text[] = "/tmp/root.XXXXXX";
  std::string dir = ::mkdtemp(text);
  std::filesystem::create_directories(dir + "/keep/in");
  std::filesystem::create_directories(dir + "/drop");
  ASSERT_EQ(::symlink((dir + "/keep").c_str(), (dir + "/link").c_str()), 0);
  std::string got = in_child([&] {
    const std::string keep[] = {dir + "/keep", dir + "/missing", "/"};
    if (auto done = leave_mount_namespace(keep); !done) return done.error().message;
    std::string out;
    for (const char* path : {"/proc/self/status", "/etc", "/usr", "/dev"})
      out += ::access(path, F_OK) == 0 ? "y" : "n";
    out += ::access((dir + "/keep/in").c_str(), F_OK) == 0 ? "y" : "n";
    out += ::access((dir + "/drop").c_str(), F_OK) == 0 ? "y" : "n";
    std::ofstream(dir + "/keep/written") << "x";
    out += ::mkdir("/new", 0700) == 0 ? "y" : "n";
    std::ifstream mounts("/proc/self/mountinfo");
    int foreign = 0;
    for (std::string line; std::getline(mounts, line);) {
      std::istringstream words(line);
      std::string word, path;
      for (int i = 0; i < 5; ++i) words >> path;
      foreign += path != "/" && path != dir + "/keep" && path.rfind("/proc", 0) != 0;
    }
    return out + " foreign=" + std::to_string(foreign);
  });
  EXPECT_EQ(got, "ynnnynn foreign=0");
  EXPECT_TRUE(std::filesystem::exists(dir + "/keep/written"));
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace serving
