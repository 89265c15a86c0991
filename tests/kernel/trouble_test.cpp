// Trouble from below and from all sides: a disk that answers EIO, many processes at once, a user's
// configuration with mistakes, memory that must come back.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <fstream>
#include <random>
#include <sstream>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

void drop_caches(const char* what) {
  write_file("/proc/sys/vm/drop_caches", what);
}

/// The lower's disk loses its end: what lay there can no longer be read.
TEST(Trouble, EioOfALowerIsPassedOnAndTheRestWorks) {
  OverlayMount m({.lowers = 2});
  ASSERT_EQ(m.add_ext4(m.lower(1), 16), "ok");
  write_file(m.lower(1) + "/lost", std::string(4 << 20, 'x'));
  write_file(m.lower(0) + "/kept", "kept");
  const base::Fd image = open_at(m.root() + "/image0", O_RDWR);
  const base::Fd lower = open_at(m.lower(1), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(outcome(syncfs(lower.get())), "ok");
  m.mount();
  EXPECT_EQ(stat_of(m.at("lost")).st_size, 4 << 20);
  ASSERT_EQ(outcome(fallocate(image.get(), 3, 0, 16 << 20)), "ok");
  ASSERT_EQ(outcome(ftruncate(image.get(), 4096)), "ok");
  drop_caches("1");
  EXPECT_EQ(read_file(m.at("lost")), "<EIO>");
  {
    const base::Fd fd = open_at(m.at("lost"), O_WRONLY | O_APPEND);
    EXPECT_EQ(outcome(write(fd.get(), "x", 1)), "ok") << "into the page cache";
    EXPECT_EQ(outcome(fsync(fd.get())), "EIO") << "a copy-up that cannot be complete";
  }
  EXPECT_FALSE(exists(m.upper() + "/lost"));
  EXPECT_EQ(read_file(m.at("kept")), "kept");
  EXPECT_EQ(write_file(m.at("new"), "new"), "ok");
  EXPECT_GT(m.daemon(), 0);
}

struct BadToml {
  const char* name;
  const char* text;
  const char* culprit;
  const char* line;
};

std::ostream& operator<<(std::ostream& out, const BadToml& toml) {
  return out << toml.name;
}

class Config : public testing::TestWithParam<BadToml> {};

TEST_P(Config, MistakeIsNamedWithItsLine) {
  OverlayMount m;
  const std::string home = m.root() + "/config/usernetes-identity";
  make_dir(m.root() + "/config");
  make_dir(home);
  write_file(home + "/config.toml", GetParam().text);
  const Ran ran = run({"env", "XDG_CONFIG_HOME=" + m.root() + "/config", mount_program(), "-o",
                       m.options(), m.merged()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.err.find(GetParam().culprit), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find(home + "/config.toml:" + GetParam().line), std::string::npos) << ran.err;
  EXPECT_FALSE(is_mounted(m.merged()));
}

INSTANTIATE_TEST_SUITE_P(
    Mistakes, Config,
    testing::Values(BadToml{"UnknownKey", "# a comment\nno_such_key = 1\n", "no_such_key", "2"},
                    BadToml{"UnknownTable", "\n\n[no_such_table]\nx = 1\n", "no_such_table", "4"},
                    BadToml{"WrongType", "[overlay]\nredirect_dir = [1]\n", "redirect_dir", "2"},
                    BadToml{"NotToml", "\n= = =\n", "", "2"}),
    [](const auto& value) { return std::string(value.param.name); });

/// A process that works at random below `dir` for `seconds`; its answers do not matter, only that
/// every call is answered.
void disturb(const std::string& dir, unsigned seed, int seconds) {
  std::mt19937 random(seed);
  const auto name = [&] {
    std::string path = dir;
    for (unsigned depth = 0; depth <= random() % 3; ++depth) {
      path += "/" + std::string(1, static_cast<char>('a' + random() % 4));
    }
    return path;
  };
  const time_t end = time(nullptr) + seconds;
  while (time(nullptr) < end) {
    const std::string one = name();
    const std::string two = name();
    switch (random() % 14) {
      case 0: write_file(one, std::string(random() % 20000, 'x')); break;
      case 1: append_file(one, "more"); break;
      case 2: make_dir(one); break;
      case 3: rename(one.c_str(), two.c_str()); break;
      case 4: renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, two.c_str(), RENAME_EXCHANGE); break;
      case 5: unlink(one.c_str()); break;
      case 6: rmdir(one.c_str()); break;
      case 7: link(one.c_str(), two.c_str()); break;
      case 8: make_link("../" + std::string(1, one.back()) + "/a", two); break;
      case 9: own(one, static_cast<uid_t>(60000 + random() % 5), 1500); break;
      case 10: set_xattr(one, "user.note", "x"); break;
      case 11: read_file(one); break;
      case 12: names_in(one); break;
      default: chmod(one.c_str(), 0700 | random() % 0100); break;
    }
  }
}

TEST(Trouble, ManyProcessesAtOnceLeaveOneTruth) {
  OverlayMount m({.lowers = 2});
  for (int i = 0; i < 2; ++i) disturb(m.lower(i), static_cast<unsigned>(i), 1);
  const std::string before = describe_tree(m.lower(0)) + describe_tree(m.lower(1));
  m.mount();
  std::vector<pid_t> children;
  for (unsigned seed = 10; seed < 16; ++seed) {
    const pid_t child = fork();
    if (child == 0) {
      disturb(m.merged(), seed, 4);
      _exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) waitpid(child, nullptr, 0);
  EXPECT_GT(m.daemon(), 0);
  const std::string live = describe_tree(m.merged());
  m.remount();
  EXPECT_EQ(describe_tree(m.merged()), live) << "what is shown is what the layers hold";
  EXPECT_EQ(run({"find", m.merged(), "-type", "f", "-exec", "cat", "{}", "+"}).status, 0);
  EXPECT_EQ(run({"sh", "-c", "rm -rf " + m.merged() + "/*"}).status, 0);
  EXPECT_EQ(names_in(m.merged()), "");
  EXPECT_EQ(describe_tree(m.lower(0)) + describe_tree(m.lower(1)), before);
}

/// The kernel's write-back cache can lose the truncation of an open(O_TRUNC) that it leaves to the
/// server (FUSE_ATOMIC_O_TRUNC) when a chmod comes between: the old end of the file comes back.
TEST(Trouble, RewritesUnderAChmodLeaveNoOldEnd) {
  OverlayMount m;
  m.mount();
  for (unsigned round = 0; round < 150; ++round) {
    const std::string path = m.at("f");
    write_file(path, "start");
    std::vector<pid_t> children;
    for (unsigned seed = 0; seed < 4; ++seed) {
      const pid_t child = fork();
      if (child == 0) {
        std::mt19937 random(round * 10 + seed);
        for (int i = 0; i < 40; ++i) {
          const auto what = random() % 3;
          if (what == 0) write_file(path, std::string(random() % 20000, 'x'));
          if (what == 1) append_file(path, "more");
          if (what == 2) chmod(path.c_str(), 0700 | random() % 0100);
        }
        _exit(0);
      }
      children.push_back(child);
    }
    for (const pid_t child : children) waitpid(child, nullptr, 0);
    const base::Fd dir = open_at(m.merged(), O_RDONLY | O_DIRECTORY);
    ASSERT_EQ(outcome(syncfs(dir.get())), "ok");
    ASSERT_EQ(stat_of(m.upper() + "/f").st_size, stat_of(path).st_size) << "round " << round;
  }
}

TEST(Trouble, AppendsOfManyProcessesToALowerFileAllArrive) {
  OverlayMount m;
  write_file(m.lower() + "/log", "");
  m.mount();
  std::vector<pid_t> children;
  for (int writer = 0; writer < 6; ++writer) {
    const pid_t child = fork();
    if (child == 0) {
      for (int i = 0; i < 200; ++i) {
        append_file(m.at("log"), std::to_string(writer) + " " + std::to_string(i) + "\n");
      }
      _exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) waitpid(child, nullptr, 0);
  std::istringstream lines(read_file(m.at("log")));
  std::vector<int> next(6, 0);
  int writer = 0;
  int number = 0;
  int count = 0;
  while (lines >> writer >> number) {
    ASSERT_LT(static_cast<size_t>(writer), next.size());
    EXPECT_EQ(number, next[static_cast<size_t>(writer)]++);
    ++count;
  }
  EXPECT_EQ(count, 1200);
}

/// A waiting lock is given up at a signal, and the daemon is not stuck meanwhile.
TEST(Trouble, SignalInterruptsAWaitingLock) {
  OverlayMount m;
  write_file(m.lower() + "/f", "x");
  m.mount();
  const base::Fd fd = open_at(m.at("f"), O_RDWR);
  struct flock range = {
      .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0, .l_pid = 0};
  ASSERT_EQ(outcome(fcntl(fd.get(), F_OFD_SETLK, &range)), "ok");
  const std::string told = run_as(0, 0, {}, [&] {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigaction(SIGALRM, &action, nullptr);
    const base::Fd other = open_at(m.at("f"), O_RDWR);
    alarm(1);
    return outcome(fcntl(other.get(), F_OFD_SETLKW, &range));
  });
  EXPECT_EQ(told, "EINTR");
  EXPECT_EQ(read_file(m.at("f")), "x");
}

long resident_kb(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::stol(line.substr(6));
  }
  return -1;
}

bool is_sanitized(pid_t pid) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  std::stringstream text;
  text << maps.rdbuf();
  return text.str().find("libasan") != std::string::npos;
}

TEST(Memory, OfAnInodeIsSmallAndComesBack) {
  constexpr int dirs = 80;
  constexpr int files = 500;
  OverlayMount m;
  for (int d = 0; d < dirs; ++d) {
    const std::string dir = m.lower() + "/d" + std::to_string(d);
    make_dir(dir);
    for (int f = 0; f < files; ++f) write_file(dir + "/file" + std::to_string(f), "");
  }
  m.mount();
  const pid_t daemon = m.daemon();
  if (is_sanitized(daemon)) GTEST_SKIP() << "a sanitizer's shadow and quarantine are not ours";
  const auto walk = [&](int from, int to) {
    for (int d = from; d < to; ++d) {
      for (int f = 0; f < files; ++f) {
        stat_of(m.at("d" + std::to_string(d) + "/file" + std::to_string(f)));
      }
    }
  };
  walk(0, 2);
  const long few = resident_kb(daemon);
  walk(2, dirs);
  const long all = resident_kb(daemon);
  EXPECT_LE((all - few) * 1024 / ((dirs - 2) * files), 300) << few << " kB, then " << all << " kB";
  drop_caches("2");
  long after = all;
  for (int tries = 0; tries < 50 && after > few + (all - few) / 2; ++tries) {
    usleep(100000);
    stat_of(m.merged());
    after = resident_kb(daemon);
  }
  EXPECT_LE(after, few + (all - few) / 2) << few << " kB, " << all << " kB, " << after << " kB";
}

}  // namespace
}  // namespace kernel_test
