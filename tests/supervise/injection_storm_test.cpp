// What happens between the steps of an injection: signals, stops of the process, deaths, execs.
// Real kernel, root.
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "tests/supervise/rig.hpp"

namespace supervise_test {
namespace {

using seccomp::Ran;

const std::vector<int> kSetIds = {SYS_setresuid, SYS_setresgid};

class Storm : public testing::TestWithParam<bool> {
 protected:
  Start start() const { return {kSetIds, GetParam(), kPool}; }
};
INSTANTIATE_TEST_SUITE_P(Wait, Storm, testing::Bool(),
                         [](const auto& one) { return one.param ? "Killable" : "Interruptible"; });

// Sends `signals` in turn to `whom`; ends with the last of them, so that nobody stays stopped.
struct Sender {
  Sender(pid_t whom, std::vector<int> signals, useconds_t pause) {
    child = ::fork();
    if (child != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (!over)
      for (int number : signals) {
        ::kill(whom, number);
        ::usleep(pause);
      }
    ::_exit(0);
  }
  void end() {
    over = true;
    ::waitpid(child, nullptr, 0);
  }
  std::atomic<bool>& over = shared<std::atomic<bool>>();
  pid_t child = -1;
};

std::atomic<int> handled, handler_failed;

// Changes the id there and back. `may_fail`: with EINTR, and then nothing may have changed.
int change_often(int times, bool may_fail) {
  for (int i = 0; i < times; ++i) {
    errno = 0;
    long there = ::syscall(SYS_setresuid, -1, 60000, -1);
    if (there != 0 && !(may_fail && errno == EINTR)) return 1;
    if (::geteuid() != (there == 0 ? kSlot : 0)) return 2;
    while (::syscall(SYS_setresuid, -1, 0, -1) != 0)
      if (!may_fail || errno != EINTR) return 3;
    if (::geteuid() != 0) return 4;
  }
  sigset_t blocked;
  ::sigprocmask(SIG_SETMASK, nullptr, &blocked);
  for (int number = 1; number < 32; ++number)
    if (::sigismember(&blocked, number)) return 5;
  return handled == 0 ? 6 : 10 * (handler_failed > 0);
}

TEST_P(Storm, HandlersThatRestart) {
  Rig rig;
  int status = rig.run(
      start(),
      [] {
        struct sigaction action {};
        action.sa_flags = SA_RESTART;
        action.sa_handler = [](int) { ++handled; };
        ::sigaction(SIGUSR1, &action, nullptr);
        Sender other(::getpid(), {SIGUSR1}, 40);
        int result = change_often(1500, false);
        other.end();
        return result;
      },
      to_slot);
  EXPECT_EQ(status, 0);
  EXPECT_GE(std::count(rig.ran.begin(), rig.ran.end(), Ran::done), 1500);
}

// Without SA_RESTART the kernel ends a notification that nobody has looked at with EINTR; what we
// have begun is never ended so.
TEST_P(Storm, HandlersThatDoNotRestart) {
  Rig rig;
  int status = rig.run(
      start(),
      [] {
        struct sigaction action {};
        action.sa_handler = [](int) { ++handled; };
        ::sigaction(SIGUSR1, &action, nullptr);
        Sender other(::getpid(), {SIGUSR1}, 40);
        int result = change_often(1500, true);
        other.end();
        return result;
      },
      to_slot);
  EXPECT_EQ(status, 0);
}

// The handler makes a call of the same kind, which must not be taken for the interrupted one.
TEST_P(Storm, HandlersThatCallThemselves) {
  Rig rig;
  int status = rig.run(
      start(),
      [] {
        struct sigaction action {};
        action.sa_flags = SA_RESTART;
        action.sa_handler = [](int) {
          int error = errno;
          ++handled;
          // Without privileges, as 60000, the kernel forbids it.
          if (::syscall(SYS_setresgid, -1, handled % 2 ? 60000 : 0, -1) != 0 &&
              (errno != EPERM || ::geteuid() == 0))
            ++handler_failed;
          if (::syscall(SYS_setresuid, -1, -1, -1) != 0) ++handler_failed;
          errno = error;
        };
        ::sigaction(SIGUSR1, &action, nullptr);
        Sender other(::getpid(), {SIGUSR1}, 300);
        int result = change_often(1000, false);
        other.end();
        return result;
      },
      to_slot);
  EXPECT_EQ(status, 0);
}

TEST_P(Storm, StopsOfTheProcess) {
  Rig rig;
  auto& between = shared<std::atomic<bool>>();  // two steps of an injection
  rig.on_notice = [&](const seccomp::Notice&) {
    between = std::count(rig.ran.begin(), rig.ran.end(), Ran::gone) > 0;
  };
  int status = rig.run(
      start(),
      [&between] {
        handled = 1;
        Sender other(::getpid(), {SIGSTOP, SIGCONT}, 120);
        int result = 0;
        for (int i = 0; result == 0 && (i == 0 || (i < 50 && !between)); ++i)
          result = change_often(400, false);
        other.end();
        return result;
      },
      to_slot);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(between) << "no stop came between";
}

TEST_P(Storm, StopsOfAProcessOfManyThreads) {
  Rig rig;
  int status = rig.run(
      start(),
      [] {
        handled = 1;
        Sender other(::getpid(), {SIGSTOP, SIGCONT, SIGTSTP, SIGCONT}, 200);
        std::atomic<int> wrong = 0;
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; ++i)
          threads.emplace_back([&] { wrong += change_often(100, false) != 0; });
        for (auto& thread : threads) thread.join();
        other.end();
        return wrong.load();
      },
      to_slot);
  EXPECT_EQ(status, 0);
}

// A process that stays stopped stays so, and is nobody's tracee.
TEST_P(Storm, AStoppedProcessIsLetGo) {
  Rig rig;
  auto& outcome = shared<std::atomic<int>>();
  int status = rig.run(
      start(),
      [&outcome] {
        handled = 1;
        pid_t child = ::fork();
        if (child == 0) ::_exit(change_often(1 << 20, false));
        for (int i = 0; i < 50 && outcome == 0; ++i) {
          ::usleep(static_cast<useconds_t>(500 + i * 37));
          ::kill(child, SIGSTOP);
          int state = 0;
          if (::waitpid(child, &state, WUNTRACED) != child || !WIFSTOPPED(state)) outcome = 1;
          // Let go, it stops by itself once more.
          auto let_go = [child] {
            return status_line(child, "TracerPid") == "0" &&
                   status_line(child, "State").starts_with("T");
          };
          for (int n = 0; n < 1000 && !let_go(); ++n) ::usleep(1000);
          if (!let_go()) outcome = 2;
          if (status_line(child, "SigBlk") != "0000000000000000") outcome = 3;
          ::kill(child, SIGCONT);
        }
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        return outcome.load();
      },
      to_slot);
  EXPECT_EQ(status, 0);
}

TEST_P(Storm, AThousandDeaths) {
  Rig rig;
  int status = rig.run(
      start(),
      [] {
        handled = 1;
        std::srand(1);
        for (int i = 0; i < 1000; ++i) {
          pid_t child = ::fork();
          if (child == 0) ::_exit(change_often(1 << 20, false));
          ::usleep(static_cast<useconds_t>(std::rand() % 700));
          ::kill(child, SIGKILL);
          int state = 0;
          if (::waitpid(child, &state, 0) != child || !WIFSIGNALED(state)) return 1;
        }
        return 0;
      },
      to_slot);
  EXPECT_EQ(status, 0);
  EXPECT_GT(std::count(rig.ran.begin(), rig.ran.end(), Ran::gone), 0) << "none came between";
}

// The same while its memory is read and written.
ring::Task<seccomp::Answer> other_groups(Rig& rig, seccomp::Notice notice) {
  seccomp::Rerun rerun;
  rerun.memory.push_back({notice.arguments[1], std::vector<std::byte>(8)});
  seccomp::Answer answer = co_await rig.again(notice, std::move(rerun));
  co_return answer;
}

TEST_P(Storm, AThousandDeathsWithMemory) {
  Rig rig;
  int status = rig.run(
      {{SYS_setgroups}, GetParam(), kPool},
      [] {
        std::srand(3);
        unsigned list[2] = {60000, 42};
        for (int i = 0; i < 1000; ++i) {
          pid_t child = ::fork();
          if (child == 0)
            while (::syscall(SYS_setgroups, 2, list) == 0) {
            }
          ::usleep(static_cast<useconds_t>(std::rand() % 700));
          ::kill(child, SIGKILL);
          int state = 0;
          if (::waitpid(child, &state, 0) != child || !WIFSIGNALED(state)) return 1;
        }
        return ::syscall(SYS_setgroups, 2, list) == 0 && list[0] == 60000 ? 0 : 2;
      },
      other_groups);
  EXPECT_EQ(status, 0);
}

// The number of the first thread passes to the one that execs, without a word to a tracer.
TEST_P(Storm, AnotherThreadExecs) {
  Rig rig;
  int status = rig.run(
      start(),
      [] {
        handled = 1;
        std::srand(2);
        for (int i = 0; i < 200; ++i) {
          pid_t child = ::fork();
          if (child == 0) {
            std::thread other([] {
              ::usleep(static_cast<useconds_t>(std::rand() % 500));
              ::execl("/bin/true", "true", nullptr);
              ::_exit(9);
            });
            change_often(1 << 20, false);
            ::_exit(8);
          }
          int state = 0;
          if (::waitpid(child, &state, 0) != child || state != 0) return 1;
          std::rand();
        }
        return 0;
      },
      to_slot);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace supervise_test
