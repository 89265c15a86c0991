// Calls made again by the task itself, on the real kernel. Root.
#include "seccomp/injection.hpp"

#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "tests/supervise/rig.hpp"

namespace supervise_test {
namespace {

using seccomp::Answer;
using seccomp::Notice;
using seccomp::Ran;
using seccomp::Rerun;

const std::vector<int> kSetIds = {SYS_setuid,   SYS_setgid,    SYS_setreuid,
                                  SYS_setregid, SYS_setresuid, SYS_setresgid};

Start pool_start(bool killable = false) {
  return {kSetIds, killable, kPool};
}

int ids_other_than(unsigned expected) {
  unsigned r = 0, e = 0, s = 0;
  return ::getresuid(&r, &e, &s) != 0 || r != expected || e != expected || s != expected;
}

class Injection : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Wait, Injection, testing::Bool(),
                         [](const auto& one) { return one.param ? "Killable" : "Interruptible"; });

TEST_P(Injection, TheIdIsReallyChanged) {
  Rig rig;
  int status = rig.run(
      pool_start(GetParam()),
      [] {
        if (::setresgid(60000, 60000, 60000) != 0) return 1;
        if (::setresuid(60000, 60000, 60000) != 0) return 2;
        if (ids_other_than(kSlot)) return 3;
        unsigned r = 0, e = 0, s = 0;
        if (::getresgid(&r, &e, &s) != 0 || r != kSlot || e != kSlot || s != kSlot) return 4;
        if (status_line(::getpid(), "CapEff") != "0000000000000000") return 5;
        if (status_line(::getpid(), "SigBlk") != "0000000000000000") return 6;
        if (status_line(::getpid(), "TracerPid") != "0") return 7;
        return ::setuid(0) == 0 ? 8 : 0;
      },
      to_slot);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(rig.ran, (std::vector<Ran>{Ran::done, Ran::done}));
  EXPECT_EQ(rig.resumed, 2u);
}

#if defined(__x86_64__)
TEST_P(Injection, RegistersAreAsTheyWere) {
  Rig rig;
  int status = rig.run(
      pool_start(GetParam()),
      [] {
        for (int i = 0; i < 200; ++i) {
          unsigned long di = -1ul, si = 60000, dx = -1ul;
          register unsigned long r10 asm("r10") = 71, r8 asm("r8") = 72, r9 asm("r9") = 77;
          long result;
          asm volatile("syscall"
                       : "=a"(result), "+D"(di), "+S"(si), "+d"(dx), "+r"(r10), "+r"(r8), "+r"(r9)
                       : "a"(SYS_setresuid)
                       : "rcx", "r11", "memory");
          if (result != 0 || si != 60000 || di != -1ul || dx != -1ul) return 1;
          if (r10 != 71 || r8 != 72 || r9 != 77) return 2;
          if (::geteuid() != kSlot) return 3;
          if (::syscall(SYS_setresuid, -1, 0, -1) != 0) return 4;
        }
        return 0;
      },
      to_slot);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(std::count(rig.ran.begin(), rig.ran.end(), Ran::done), 200);
}

// The way of a 32-bit program, which a 64-bit one may take, too.
TEST_P(Injection, CallsOf32BitPrograms) {
  constexpr int kSetresuid32 = 208;
  Rig rig;
  Start start = pool_start(GetParam());
  start.calls = {kSetresuid32};
  int status = rig.run(
      start,
      [] {
        unsigned long bx = 60000, cx = 60000, dx = 60000;
        long result;
        asm volatile("int $0x80"
                     : "=a"(result), "+b"(bx), "+c"(cx), "+d"(dx)
                     : "a"(kSetresuid32)
                     : "r8", "r9", "r10", "r11", "memory");
        if (result != 0) return 1;
        if (bx != 60000 || cx != 60000 || dx != 60000) return 2;
        return ids_other_than(kSlot) ? 3 : 0;
      },
      to_slot);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(rig.ran, std::vector<Ran>{Ran::done});
}
#endif

TEST_P(Injection, AllThreadsOfAProcess) {
  Rig rig;
  int status = rig.run(
      pool_start(GetParam()),
      [] {
        std::atomic<bool> go = false;
        std::atomic<int> wrong = 0;
        std::vector<std::thread> threads;
        for (int i = 0; i < 8; ++i)
          threads.emplace_back([&] {
            while (!go) ::usleep(100);
            wrong += ids_other_than(kSlot);
          });
        int result = ::setresuid(60000, 60000, 60000);
        go = true;
        for (auto& thread : threads) thread.join();
        return result != 0 ? 100 : wrong.load();
      },
      to_slot);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(rig.ran.size(), 9u);
}

TEST_P(Injection, AChildByVforkThatExecs) {
  Rig rig;
  int status = rig.run(
      pool_start(GetParam()),
      [] {
        pid_t child = ::vfork();
        if (child == 0) {
          if (::setresuid(60000, 60000, 60000) != 0) ::_exit(3);
          ::execl("/bin/sh", "sh", "-c", "test $(id -u) = 1633", nullptr);
          ::_exit(4);
        }
        int result = 0;
        ::waitpid(child, &result, 0);
        return ids_other_than(0) ? 5 : WEXITSTATUS(result);
      },
      to_slot);
  EXPECT_EQ(status, 0);
}

// What the call returns and what it wrote are translated at its end.
TEST_P(Injection, ResultAndMemoryAreChangedAtTheEnd) {
  Rig rig;
  auto& seen = shared<std::int64_t>();
  Start start = pool_start(GetParam());
  start.calls = {SYS_getresuid};
  int status = rig.run(
      start,
      [] {
        unsigned r = 7, e = 7, s = 7;
        long result = ::syscall(SYS_getresuid, &r, &e, &s);
        return result == 42 && r == 4711 && e == 0 && s == 0 ? 0 : 1;
      },
      [&seen](Rig& its, Notice notice) -> ring::Task<Answer> {
        static constexpr unsigned kTold = 4711;
        auto task = [](Rig& r, Notice n, std::int64_t& was) -> ring::Task<Answer> {
          Rerun rerun;
          Rig* rig_of = &r;
          std::int64_t* told = &was;
          auto change = [](Rig* rig_, Notice call, std::int64_t* result_,
                           std::int64_t result) -> ring::Task<std::int64_t> {
            *result_ = result;
            auto bytes = std::as_bytes(std::span(&kTold, 1));
            // As if another thread had its number: nothing is written.
            seccomp::Still no = [] { return false; };
            auto late = co_await rig_->tracees.write(call.tid, call.arguments[1], bytes, no);
            if (late || late.error().value != ESRCH) co_return -EBADE;
            if (rig_->injector.holds(call.tid, call.id + 1)) co_return -EBADE;
            seccomp::Still still = [rig_, call] {
              return rig_->injector.holds(call.tid, call.id) && !rig_->still_valid(call.id);
            };
            auto done = co_await rig_->tracees.write(call.tid, call.arguments[0], bytes, still);
            co_return done ? 42 : -EFAULT;
          };
          rerun.after = [rig_of, n, told, change](std::int64_t result) {
            return change(rig_of, n, told, result);
          };
          Answer answer = co_await r.again(n, std::move(rerun));
          co_return answer;
        };
        return task(its, notice, seen);
      });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(seen, 0);
}

TEST_P(Injection, MemoryIsPutBack) {
  Rig rig;
  Start start = pool_start(GetParam());
  start.calls = {SYS_setgroups};
  int status = rig.run(
      start,
      [] {
        static const unsigned wanted[2] = {60000, 60042};  // may not be written
        unsigned got[8] = {};
        if (::syscall(SYS_setgroups, 2, wanted) != 0) return 1;
        if (const_cast<volatile const unsigned*>(wanted)[0] != 60000 || wanted[1] != 60042)
          return 2;
        if (::syscall(SYS_getgroups, 8, got) != 2) return 3;
        if (got[0] != 42 || got[1] != kSlot) return 4;  // the kernel sorts them
        unsigned local[2] = {60000, 60042};
        // The call itself fails: no such number of groups.
        if (::syscall(SYS_setgroups, 70000, local) != -1 || errno != EINVAL) return 5;
        if (local[0] != 60000 || local[1] != 60042) return 6;
        // Nothing is mapped there.
        if (::syscall(SYS_setgroups, 2, 4096) != -1 || errno != EFAULT) return 7;
        return status_line(::getpid(), "SigBlk") == "0000000000000000" ? 0 : 8;
      },
      other_groups);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(rig.ran, (std::vector<Ran>{Ran::done, Ran::done, Ran::done}));
}

TEST_P(Injection, ThreadsWithMemoryTakeTurns) {
  Rig rig;
  Start start = pool_start(GetParam());
  start.calls = {SYS_setgroups};
  int status = rig.run(
      start,
      [] {
        static unsigned one_for_all[2] = {60000, 60042};
        std::atomic<int> wrong = 0;
        std::vector<std::thread> threads;
        for (int i = 0; i < 8; ++i)
          threads.emplace_back([&] {
            for (int n = 0; n < 50; ++n)
              if (::syscall(SYS_setgroups, 2, one_for_all) != 0) ++wrong;
          });
        for (auto& thread : threads) thread.join();
        return one_for_all[0] != 60000 || one_for_all[1] != 60042 ? 100 : wrong.load();
      },
      other_groups);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(std::count(rig.ran.begin(), rig.ran.end(), Ran::done), 400);
}

TEST_P(Injection, WhoIsTracedAlreadyIsLeftAlone) {
  Rig rig;
  int status = rig.run(
      pool_start(GetParam()),
      [] {
        pid_t me = ::getpid();
        pid_t tracer = ::fork();
        if (tracer == 0) {
          if (::ptrace(PTRACE_SEIZE, me, nullptr, nullptr) != 0) ::_exit(1);
          ::pause();
        }
        while (status_line(me, "TracerPid") != std::to_string(tracer)) ::usleep(1000);
        int result = ::setuid(60000), error = errno;
        ::kill(tracer, SIGKILL);
        ::waitpid(tracer, nullptr, 0);
        return result == -1 && error == EPERM && !ids_other_than(0) ? 0 : 1;
      },
      to_slot);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(rig.ran, std::vector<Ran>{Ran::traced});
}

}  // namespace
}  // namespace supervise_test
