// Attacks from inside the container, and by who made its image: each was a hole once, or would be
// one if a line were missing. What needs no kernel to show is in tests/fusefs/hostile_test.cpp.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <vector>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

void make_big(const std::string& path, int megabytes) {
  const base::Fd fd = open_at(path, O_WRONLY | O_CREAT);
  const std::string piece(1 << 20, 'x');
  for (int i = 0; i < megabytes; ++i)
    ASSERT_EQ(write(fd.get(), piece.data(), piece.size()), static_cast<ssize_t>(piece.size()));
}

/// Exit codes of children that each run `story`; -1: one that does not end in time.
std::vector<int> in_children(int count, const std::function<int(int)>& story) {
  std::vector<pid_t> pids;
  for (int i = 0; i < count; ++i) {
    pids.push_back(fork());
    if (pids.back() == 0) _exit(story(i));
  }
  std::vector<int> codes;
  for (const pid_t pid : pids) {
    int status = 0;
    pid_t got = 0;
    for (int tries = 0; tries < 2000 && (got = waitpid(pid, &status, WNOHANG)) == 0; ++tries)
      usleep(10000);
    codes.push_back(got == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  }
  return codes;
}

/// Who came while a copy-up was under way waited for ever.
TEST(Attack, AllWhoWaitForOneCopyUpGoOn) {
  OverlayMount m;
  make_big(m.lower() + "/big", 200);
  m.mount();
  const auto codes = in_children(8, [&](int i) {
    return chmod(m.at("big").c_str(), 0600 + static_cast<mode_t>(i)) == 0 ? 0 : errno;
  });
  EXPECT_EQ(codes, std::vector<int>(8, 0));
  EXPECT_EQ(stat_of(m.upper() + "/big").st_size, 200 << 20);
}

/// A signal, one's own or that of a reader of the same file, is no error of chmod(2).
TEST(Attack, SignalsDoNotMakeAChmodFail) {
  OverlayMount m;
  make_big(m.lower() + "/big", 200);
  m.mount();
  const auto codes = in_children(4, [&](int i) {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(SIGALRM, &action, nullptr);
    const itimerval often{{0, 2000}, {0, 2000}};
    setitimer(ITIMER_REAL, &often, nullptr);
    if (i > 1) return chmod(m.at("big").c_str(), 0640) == 0 ? 0 : errno;
    const base::Fd fd = open_at(m.at("big"), O_RDONLY | O_DIRECT);
    std::vector<char> room((1 << 20) + 4096);
    void* aligned = room.data() + (4096 - reinterpret_cast<uintptr_t>(room.data()) % 4096);
    for (int piece = 0; piece < 200; ++piece)
      if (pread(fd.get(), aligned, 1 << 20, piece * (1 << 20)) < 0 && errno != EINTR) return errno;
    return 0;
  });
  EXPECT_EQ(codes, std::vector<int>(4, 0));
  EXPECT_EQ(mode_of(m.at("big")), "0640");
}

/// An image plants where a directory's lower versions are said to be.
TEST(Attack, PlantedRedirectsStayInTheLayers) {
  OverlayMount m({.lowers = 2});
  make_dir(m.outside() + "/d");
  write_file(m.outside() + "/secret", "secret");
  set_xattr(m.root(), "user.overlay.redirect", "/outside");
  const std::vector<std::string> forms = {"..",    "../outside", "/..",     "/../outside",
                                          "/a/..", "/a/../..",   "a/../..", "/.wh.x"};
  for (size_t i = 0; i < forms.size(); ++i) {
    const std::string name = "/d" + std::to_string(i);
    make_dir(m.lower(0) + name);
    write_file(m.lower(0) + name + "/own", "x");
    make_dir(m.lower(1) + name);
    EXPECT_EQ(set_xattr(m.lower(0) + name, "user.overlay.redirect", forms[i]), "ok");
  }
  make_dir(m.lower(1) + "/a");
  m.mount();
  for (size_t i = 0; i < forms.size(); ++i) {
    const std::string dir = m.at("d" + std::to_string(i));
    EXPECT_EQ(names_in(dir), "own") << forms[i];
    EXPECT_EQ(read_file(dir + "/secret"), "<ENOENT>") << forms[i];
    EXPECT_EQ(write_file(dir + "/new", "x"), "ok") << forms[i];
  }
  EXPECT_EQ(names_in(m.outside()), "d secret");
}

/// A user keeps so many files open that have no name that the daemon has no descriptor left.
TEST(Attack, NoDescriptorLeftForAnybody) {
  OverlayMount m;
  for (const auto& at : {m.lower(), m.upper()}) make_dir(at + "/d");
  write_file(m.lower() + "/d/f", "old");
  write_file(m.upper() + "/d/f", "new");
  write_file(m.lower() + "/d/g", "old");
  m.adopt(run({"prlimit", "--nofile=200:200", mount_program(), "-o", m.options(), m.merged()}));
  ASSERT_TRUE(is_mounted(m.merged()));
  std::vector<base::Fd> held;
  std::string answer = "ok";
  for (int i = 0; i < 400 && answer == "ok"; ++i) {
    const std::string made = m.at("made" + std::to_string(i));
    held.push_back(open_at(made, O_RDWR | O_CREAT));
    answer = held.back().valid() ? outcome(unlink(made.c_str())) : outcome(held.back());
  }
  EXPECT_EQ(answer, "EMFILE");
  EXPECT_LT(held.size(), 250u);
  rename(m.at("d/f").c_str(), m.at("d/h").c_str());
  unlink(m.at("d/g").c_str());
  held.clear();
  EXPECT_GT(m.daemon(), 0);
  const std::string f = read_file(m.at("d/f")), h = read_file(m.at("d/h"));
  EXPECT_TRUE((f == "new" && h == "<ENOENT>") || (f == "<ENOENT>" && h == "new")) << f << " " << h;
  EXPECT_EQ(write_file(m.at("d/after"), "x"), "ok");
  EXPECT_EQ(read_file(m.at("d/after")), "x");
}

/// fuse-overlayfs has written this upper: modes stand in an xattr.
TEST(Attack, WriteTakesTheSetIdBitOfAnOverride) {
  OverlayMount m;
  for (const std::string name : {"/written", "/changed"}) {
    write_file(m.upper() + name, "text", 0755);
    set_xattr(m.upper() + name, "user.containers.override_stat", "0:0:4777");
  }
  m.mount();
  ASSERT_EQ(mode_of(m.at("written")), "4777");
  EXPECT_EQ(run_as(1000, 1000, {}, [&] { return append_file(m.at("written"), "evil"); }), "ok");
  EXPECT_EQ(outcome(chmod(m.at("changed").c_str(), 0700)), "ok");
  for (int round = 0; round < 2; ++round, m.remount()) {
    EXPECT_EQ(mode_of(m.at("written")), "0777") << round;
    EXPECT_EQ(mode_of(m.at("changed")), "0700") << round;
  }
}

}  // namespace
}  // namespace kernel_test
