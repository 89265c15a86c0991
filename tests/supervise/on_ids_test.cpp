#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <thread>
#include <vector>

#include "tests/supervise/supervised.hpp"

namespace {

using seccomp::Profile;
using supervised::in_child;
using supervised::kernel_ids;
using supervised::run;
using supervised::Task;

using Ids = std::vector<unsigned>;

Ids uids() {
  unsigned real = 1, effective = 1, saved = 1;
  ::syscall(SYS_getresuid, &real, &effective, &saved);
  return {real, effective, saved};
}
Ids gids() {
  unsigned real = 1, effective = 1, saved = 1;
  ::syscall(SYS_getresgid, &real, &effective, &saved);
  return {real, effective, saved};
}

class OnIds : public supervised::Everywhere {};
INSTANTIATE_TEST_SUITE_P(All, OnIds, supervised::everywhere(), supervised::name_of);

TEST_P(OnIds, WhoBecomesAnyIdIsThatIdAndHasNoPrivilegesLeft) {
  EXPECT_EQ(run(options(Profile::basic),
                [](Task& task) {
                  task.same("root", 0u, ::getuid());
                  in_child(task, [&] {
                    task.same("setgid", 0, ::syscall(SYS_setgid, 80000));
                    task.same("setuid", 0, ::syscall(SYS_setuid, 70000));
                    task.same("getuid", 70000, ::syscall(SYS_getuid));
                    task.same("geteuid", 70000, ::syscall(SYS_geteuid));
                    task.same("getgid", 80000, ::syscall(SYS_getgid));
                    task.same("getegid", 80000, ::syscall(SYS_getegid));
                    task.same("getresuid", Ids{70000, 70000, 70000}, uids());
                    task.same("getresgid", Ids{80000, 80000, 80000}, gids());
                    task.same("CapEff", std::string("0000000000000000"), kernel_ids("CapEff"));
                    task.same("back", -1, ::syscall(SYS_setuid, 0));
                    task.same("why", EPERM, errno);
                    task.same("to itself", 0, ::syscall(SYS_setuid, 70000));
                  });
                  in_child(task, [&] {
                    task.same("setresuid", 0, ::syscall(SYS_setresuid, 70000, 80000, 90000));
                    task.same("three", Ids{70000, 80000, 90000}, uids());
                    task.same("swap", 0, ::syscall(SYS_setresuid, 90000, -1, 70000));
                    task.same("swapped", Ids{90000, 80000, 70000}, uids());
                  });
                  in_child(task, [&] {
                    task.same("setresgid", 0, ::syscall(SYS_setresgid, 70000, -1, 90000));
                    task.same("three", Ids{70000, 0, 90000}, gids());
                    task.same("setregid", 0, ::syscall(SYS_setregid, -1, 70000));
                    task.same("three", Ids{70000, 70000, 90000}, gids());
                    task.same("setreuid", 0, ::syscall(SYS_setreuid, -1, 70000));
                    task.same("uids", Ids{0, 70000, 70000}, uids());
                    task.same("and back", 0, ::syscall(SYS_setreuid, -1, 0));
                    task.same("uids", Ids{0, 0, 70000}, uids());
                  });
                }),
            "");
}

TEST(OnSetId, TheKernelReallyHasTheSlot) {
  EXPECT_EQ(run({.profile = Profile::basic},
                [](Task& task) {
                  in_child(task, [&] {
                    task.same("setresuid", 0, ::syscall(SYS_setresuid, 60000, 60000, 60000));
                    task.same("Uid", std::string("1633 1633 1633 1633"), kernel_ids("Uid"));
                    task.same("getuid", 60000u, ::getuid());
                  });
                }),
            "");
}

TEST_P(OnIds, WrongArgumentsFailAsTheyDoNatively) {
  EXPECT_EQ(run(options(Profile::basic),
                [](Task& task) {
                  task.same("setuid(-1)", -1, ::syscall(SYS_setuid, -1));
                  task.same("why", EINVAL, errno);
                  in_child(task, [&] {
                    ::syscall(SYS_setuid, 70000);
                    task.same("bad pointer", -1, ::syscall(SYS_getresuid, 8, 8, 8));
                    task.same("why", EFAULT, errno);
                    unsigned id = 1;
                    task.same("bad second pointer", -1, ::syscall(SYS_getresuid, &id, 8, &id));
                    task.same("why", EFAULT, errno);
                  });
                }),
            "");
}

TEST_P(OnIds, FileSystemIdsTellTheOneBefore) {
  EXPECT_EQ(run(options(Profile::basic),
                [](Task& task) {
                  task.same("set", 0, ::syscall(SYS_setfsuid, 70000));
                  task.same("ask", 70000, ::syscall(SYS_setfsuid, -1));
                  task.same("other", 70000, ::syscall(SYS_setfsuid, 80000));
                  task.same("back", 80000, ::syscall(SYS_setfsuid, 0));
                  task.same("ask", 0, ::syscall(SYS_setfsuid, -1));
                  task.same("group", 0, ::syscall(SYS_setfsgid, 70000));
                  task.same("ask", 70000, ::syscall(SYS_setfsgid, -1));
                  in_child(task, [&] {
                    ::syscall(SYS_setresuid, 70000, 70000, 70000);
                    task.same("not allowed", 70000, ::syscall(SYS_setfsuid, 99999));
                    task.same("unchanged", 70000, ::syscall(SYS_setfsuid, -1));
                  });
                }),
            "");
}

TEST(OnSetId, AWindowWithoutRoomIsSaidByEinval) {
  EXPECT_EQ(run({.profile = Profile::basic, .last_slot = 1001},
                [](Task& task) {
                  for (unsigned id : {70000, 80000}) {
                    in_child(task, [&] { task.same("room", 0, ::syscall(SYS_setuid, id)); });
                  }
                  task.same("no room", -1, ::syscall(SYS_setuid, 90000));
                  task.same("why", EINVAL, errno);
                  in_child(task, [&] { task.same("has one", 0, ::syscall(SYS_setuid, 70000)); });
                }),
            "");
}

TEST(OnSetId, WhoMayNotBecomeAnybodyTakesNoSlot) {
  EXPECT_EQ(run({.profile = Profile::full, .last_slot = 1001},
                [](Task& task) {
                  in_child(task, [&] {
                    task.same("one slot", 0, ::syscall(SYS_setuid, 70000));
                    const int file = ::open("/tmp/f", O_CREAT | O_RDWR, 0666);
                    for (int id = 80000; id < 80020; ++id) {
                      task.same("setuid", -1, ::syscall(SYS_setuid, id));
                      task.same("why", EPERM, errno);
                      task.same("chown", -1, ::fchown(file, id, -1));
                      task.same("why", EPERM, errno);
                      task.same("setgroups", -1, ::syscall(SYS_setgroups, 1, &id));
                      task.same("why", EPERM, errno);
                      task.same("setpriority", -1, ::syscall(SYS_setpriority, 2, id, 5));
                      task.same("why", ESRCH, errno);
                    }
                  });
                  in_child(task,
                           [&] { task.same("the other slot", 0, ::syscall(SYS_setuid, 90000)); });
                }),
            "");
}

// glibc makes every thread call; each is a notification of its own.
TEST_P(OnIds, AllThreadsOfAProcessChangeTogether) {
  EXPECT_EQ(run(options(Profile::basic),
                [](Task& task) {
                  in_child(task, [&] {
                    std::array<int, 2> ready{}, go{};
                    task.is_true("pipes", ::pipe(ready.data()) == 0 && ::pipe(go.data()) == 0);
                    std::vector<std::thread> threads;
                    std::array<Ids, 6> seen;
                    for (Ids& one : seen)
                      threads.emplace_back([&] {
                        char byte = 0;
                        (void)!::write(ready[1], "r", 1);
                        (void)!::read(go[0], &byte, 1);
                        one = {::getuid(), ::geteuid(), ::getgid()};
                      });
                    char byte = 0;
                    for (std::size_t i = 0; i < seen.size(); ++i) (void)!::read(ready[0], &byte, 1);
                    const std::array<gid_t, 3> groups{42, 60000, 80000};
                    task.same("setgroups", 0, ::setgroups(groups.size(), groups.data()));
                    task.same("setresgid", 0, ::setresgid(80000, 80000, 80000));
                    task.same("setresuid", 0, ::setresuid(70000, 70000, 70000));
                    for (std::size_t i = 0; i < seen.size(); ++i) (void)!::write(go[1], "g", 1);
                    for (std::thread& thread : threads) thread.join();
                    for (const Ids& one : seen) task.same("thread", Ids{70000, 70000, 80000}, one);
                  });
                }),
            "");
}

TEST_P(OnIds, ANamespaceOfATasksOwnIsLeftAlone) {
  EXPECT_EQ(run(options(Profile::basic),
                [](Task& task) {
                  in_child(task, [&] {
                    task.same("setuid", 0, ::syscall(SYS_setuid, 70000));
                    task.same("before", 70000u, ::getuid());
                    task.is_true("unshare", ::unshare(CLONE_NEWUSER) == 0);
                    task.same("not mapped there", 65534u, ::getuid());
                    task.same("nor there", Ids{65534, 65534, 65534}, uids());
                    task.same("setuid", -1, ::syscall(SYS_setuid, 80000));
                    task.same("why", EINVAL, errno);
                  });
                }),
            "");
}

// Whom a debugger holds is not ours to hold: it is told its ids, and may not give up privileges,
// since nothing would be given up.
TEST_P(OnIds, ATaskThatOthersTrace) {
  EXPECT_EQ(run(options(Profile::full),
                [](Task& task) {
                  in_child(task, [&] {
                    const gid_t group = 90000;
                    task.same("setgroups", 0, ::syscall(SYS_setgroups, 1, &group));
                    task.same("setresuid", 0, ::syscall(SYS_setresuid, 0, 0, 70000));
                    task.is_true("traced", ::ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
                    task.same("getresuid", Ids{0, 0, 70000}, uids());
                    gid_t got = 0;
                    task.same("getgroups", 1, ::syscall(SYS_getgroups, 1, &got));
                    task.same("group", group, got);
                    task.same("setuid", -1, ::syscall(SYS_setuid, 80000));
                    task.same("why", EPERM, errno);
                    task.same("to an id that is itself", 0, ::syscall(SYS_setresuid, 5, 5, 5));
                    task.same("getuid", 5, ::syscall(SYS_getuid));
                  });
                }),
            "");
}

#ifdef __x86_64__
long call32(long number, long a = 0, long b = 0, long c = 0) {
  long result = 0;
  asm volatile("int $0x80"
               : "=a"(result)
               : "a"(number), "b"(a), "c"(b), "d"(c)
               : "memory", "r8", "r9", "r10", "r11");
  return static_cast<int>(result);
}

TEST_P(OnIds, Programs32Bit) {
  EXPECT_EQ(run(options(Profile::basic),
                [](Task& task) {
                  in_child(task, [&] {
                    task.same("setresgid32", 0, call32(210, 80000, 80000, 80000));
                    task.same("setresuid32", 0, call32(208, 70000, 70000, 70000));
                    task.same("getuid32", 70000, call32(199));
                    task.same("getegid32", 80000, call32(202));
                    task.same("setuid32", -EPERM, call32(213, 80000));
                    auto* three = static_cast<unsigned*>(
                        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
                    const long at = reinterpret_cast<long>(three);
                    task.same("getresuid32", 0, call32(209, at, at + 4, at + 8));
                    task.same("three", Ids{70000, 70000, 70000}, Ids(three, three + 3));
                    task.same("16 bit setuid", -ENOSYS, call32(23, 5));
                    task.same("16 bit chown", -ENOSYS, call32(182, at, 5, 5));
                    task.same("x32", -1, ::syscall(SYS_getuid | 0x40000000));
                    task.same("why", ENOSYS, errno);
                  });
                }),
            "");
}
#endif

}  // namespace
