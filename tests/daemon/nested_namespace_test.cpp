// A process becomes one of a few planned ids, for good. The namespaces are real ones.
#include "daemon/nested_namespace.hpp"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <functional>

#include "daemon/user_namespace.hpp"
#include "tests/daemon/in_child.hpp"

namespace serving {
namespace {

using daemon_test::in_child;

std::string status(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key + ":")) return line.substr(key.size() + 2);
  return "no line " + key;
}

std::string entered(const std::string& uids, const std::string& gids) {
  auto done = enter_nested_namespace(uids, gids);
  return done ? "" : done.error().message;
}

std::string became(const Person& person) {
  auto done = become(person);
  return done ? "" : done.error().message;
}

std::string entered_as(const std::string& map, const Person& person) {
  std::string error = entered(map, map);
  return error + became(person);
}

const std::string kMap = "0 0 1\n60000 1633 1\n4294967294 1098 1\n";

class Nested : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: a plain user has no id but one to map";
  }
};

TEST_F(Nested, AnIdIsItselfInsideAndItsSlotOutside) {
  char name[] = "/tmp/nested.XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  ASSERT_EQ(::chmod(name, 0777), 0);
  std::string file = std::string(name) + "/file";
  EXPECT_EQ(
      in_child([&] {
        std::string error = entered_as(kMap, {60000, 60000, {4294967294u}});
        std::ofstream(file) << "x";
        return error + status("Uid") + "|" + status("Gid") + "|" + status("Groups") + "|" +
               status("CapEff") + status("CapPrm") + status("CapInh") + status("CapAmb");
      }),
      "60000\t60000\t60000\t60000|60000\t60000\t60000\t60000|4294967294 |" + std::string(64, '0'));
  struct stat st {};
  ASSERT_EQ(::stat(file.c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 1633u);
  EXPECT_EQ(st.st_gid, 1633u);
  ::unlink(file.c_str());
  ::rmdir(name);
}

TEST_F(Nested, ThereIsNoWayBack) {
  EXPECT_EQ(in_child([] {
              std::string out = entered_as(kMap, {60000, 60000, {}});
              for (int result : {::setuid(0), ::setgid(0), ::seteuid(0), ::setgroups(0, nullptr)})
                out += result == 0 ? "allowed " : "no ";
              return out;
            }),
            "no no no no ");
}

TEST_F(Nested, RootKeepsItsPowerInside) {
  EXPECT_EQ(in_child([] {
              std::string out = entered_as(kMap, {0, 0, {60000}});
              out += status("Uid");
              return out + (::setresuid(60000, 60000, 60000) == 0 ? " may become" : "");
            }),
            "0\t0\t0\t0 may become");
}

TEST_F(Nested, NothingOfUsStays) {
  EXPECT_EQ(in_child([] {
              sigset_t blocked;
              ::sigemptyset(&blocked);
              ::sigaddset(&blocked, SIGCHLD);
              ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
              int before = ::dup(0);
              ::close(before);
              std::string out = entered(kMap, kMap);
              int after = ::dup(0);
              sigset_t pending;
              ::sigpending(&pending);
              out += ::sigismember(&pending, SIGCHLD) ? "SIGCHLD " : "";
              out +=
                  ::waitpid(-1, nullptr, WNOHANG | __WALL) == -1 && errno == ECHILD ? "" : "child ";
              return out + (before == after ? "" : "descriptor");
            }),
            "");
}

TEST_F(Nested, WhereSignalsOfChildrenAreIgnored) {
  EXPECT_EQ(in_child([] {
              ::signal(SIGCHLD, SIG_IGN);
              std::string out = entered_as(kMap, {60000, 60000, {}});
              return out + status("Uid");
            }),
            "60000\t60000\t60000\t60000");
}

TEST_F(Nested, WhatTheKernelRefusesIsSaid) {
  EXPECT_EQ(in_child([] { return entered("0 0 1\n5 0 1\n", kMap); }),
            "the kernel refuses the planned uid_map: Invalid argument");
  EXPECT_EQ(in_child([] { return entered(kMap, "x"); }),
            "the kernel refuses the planned gid_map: Invalid argument");
  EXPECT_EQ(in_child([] {
              return entered_as(kMap, {7, 60000, {}});
            }),
            "setuid 7: Invalid argument");
  EXPECT_EQ(in_child([] { return entered_as(kMap, {0, 0, {7}}); }), "setgroups: Invalid argument");
}

TEST_F(Nested, KeepingTheGroups) {
  EXPECT_EQ(in_child([] {
              const gid_t mine[] = {1633, 77};
              if (::setgroups(2, mine) != 0) return std::string("setgroups");
              Person who{60000, 60000, {}};
              who.keep_groups = true;
              std::string out = entered_as(kMap, who);
              return out + status("Groups");
            }),
            "65534 60000 ");
}

// A user without sub-ids may not change groups; that alone is no reason to fail.
TEST_F(Nested, InANamespaceOfOneId) {
  EXPECT_EQ(in_child([] {
              ::unsetenv("XDG_RUNTIME_DIR");
              if (::setgroups(0, nullptr) != 0 || ::setgid(54321) != 0 || ::setuid(54321) != 0 ||
                  ::prctl(PR_SET_DUMPABLE, 1) != 0)
                return std::string("setuid");
              auto done = enter_user_namespace();
              if (!done) return done.error().message;
              std::string out = groups_are_fixed() ? "fixed " : "";
              out += entered_as("60000 0 1\n", {60000, 60000, {}});
              out += status("Uid") + " ";
              return out + became({60000, 60000, {60000}});
            }),
            "fixed 60000\t60000\t60000\t60000 setgroups: Operation not permitted");
}

}  // namespace
}  // namespace serving
