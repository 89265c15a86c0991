// The same calls by their 32-bit numbers and structures, made with int 0x80 by this very program.
#if defined(__x86_64__)
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/stat.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include "tests/supervise/supervised.hpp"

namespace {

using seccomp::Profile;
using supervised::in_child;
using supervised::kernel_ids;
using supervised::run;
using supervised::Task;

using Ids = std::vector<unsigned>;

// arch/x86/entry/syscalls/syscall_32.tbl
enum Number : unsigned {
  kMknod = 14,
  kSetUid16 = 23,
  kGetUid16 = 24,
  kChown16 = 182,
  kStat64 = 195,
  kLstat64 = 196,
  kFstat64 = 197,
  kLchown32 = 198,
  kGetUid32 = 199,
  kGetGid32 = 200,
  kGetEuid32 = 201,
  kGetEgid32 = 202,
  kGetGroups32 = 205,
  kSetGroups32 = 206,
  kFchown32 = 207,
  kSetResUid32 = 208,
  kGetResUid32 = 209,
  kSetResGid32 = 210,
  kGetResGid32 = 211,
  kChown32 = 212,
  kSetUid32 = 213,
  kSetFsUid32 = 215,
  kSetXattr = 226,
  kGetXattr = 229,
  kFchownAt = 298,
  kFstatAt64 = 300,
  kGetSockOpt = 365,
  kStatx = 383,
  kSemCtl = 394,
  kShmCtl = 396,
  kMsgCtl = 402,
  kIoUringSetup = 425,
};

// All arguments are 32 bits wide; what is behind a pointer lies in the lowest 2 GiB.
std::int32_t narrow(Number number, unsigned a = 0, unsigned b = 0, unsigned c = 0, unsigned d = 0,
                    unsigned e = 0) {
  std::int32_t result;
  asm volatile("int $0x80"
               : "=a"(result)
               : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
               : "memory", "r8", "r9", "r10", "r11");
  return result;
}

class Low {
 public:
  Low() {
    bytes_ = static_cast<char*>(::mmap(nullptr, 65536, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
  }
  unsigned at(std::size_t offset) const {
    return static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(bytes_) + offset);
  }
  unsigned text(const char* what) {
    std::strcpy(bytes_ + 60000, what);
    return at(60000);
  }
  unsigned word(std::size_t offset) const {
    unsigned value;
    std::memcpy(&value, bytes_ + offset, sizeof value);
    return value;
  }
  Ids words(std::size_t offset, std::size_t count) const {
    Ids all(count);
    std::memcpy(all.data(), bytes_ + offset, count * 4);
    return all;
  }
  void put(std::size_t offset, const Ids& values) {
    std::memcpy(bytes_ + offset, values.data(), values.size() * 4);
  }

 private:
  char* bytes_;
};

class OnI386 : public supervised::Everywhere {
 protected:
  void SetUp() override {
    // The emulation can be configured out of a kernel, or off when it boots (ia32_emulation=0):
    // then a 32-bit call is a fault.
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(narrow(kGetUid32) < 0);
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (status != 0) GTEST_SKIP() << "this kernel makes no 32-bit calls (ia32_emulation)";
  }
};
INSTANTIATE_TEST_SUITE_P(All, OnI386, supervised::everywhere(), supervised::name_of);

TEST_P(OnI386, Ids) {
  EXPECT_EQ(
      run(options(Profile::basic),
          [](Task& task) {
            Low low;
            low.put(0, {42, 70000, 90000});
            task.same("setgroups", 0, narrow(kSetGroups32, 3, low.at(0)));
            task.same("list", Ids{42, 70000, 90000}, low.words(0, 3));
            in_child(task, [&] {
              task.same("setresgid", 0, narrow(kSetResGid32, 80000, 80000, 80000));
              task.same("setresuid", 0, narrow(kSetResUid32, 70000, 70000, 70000));
              task.same("getuid", 70000, narrow(kGetUid32));
              task.same("geteuid", 70000, narrow(kGetEuid32));
              task.same("getgid", 80000, narrow(kGetGid32));
              task.same("getegid", 80000, narrow(kGetEgid32));
              task.same("getresuid", 0, narrow(kGetResUid32, low.at(64), low.at(72), low.at(80)));
              task.same("three", Ids{70000, 70000, 70000},
                        Ids{low.word(64), low.word(72), low.word(80)});
              task.same("getresgid", 0, narrow(kGetResGid32, low.at(64), low.at(72), low.at(80)));
              task.same("three", Ids{80000, 80000, 80000},
                        Ids{low.word(64), low.word(72), low.word(80)});
              task.same("getgroups", 3, narrow(kGetGroups32, 3, low.at(128)));
              task.same("groups", Ids{42, 70000, 90000}, low.words(128, 3));
              task.same("CapEff", std::string("0000000000000000"), kernel_ids("CapEff"));
              task.same("back", -EPERM, narrow(kSetUid32, 0));
              task.same("64-bit calls agree", 70000u, ::getuid());
            });
            task.same("setfsuid", 0, narrow(kSetFsUid32, 70000));
            task.same("was", 70000, narrow(kSetFsUid32, 0));
            task.same("16-bit setuid", -ENOSYS, narrow(kSetUid16, 7));
            task.same("16-bit getuid", -ENOSYS, narrow(kGetUid16));
            task.same("16-bit chown", -ENOSYS, narrow(kChown16, low.text("/tmp"), 7, 7));
            task.same("io_uring", -ENOSYS, narrow(kIoUringSetup, 1, low.at(0)));
            low.put(64, {7, 7});
            std::array<int, 2> pair{};
            in_child(task, [&] {
              task.same("setuid", 0, narrow(kSetUid32, 70000));
              ::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data());
              low.put(256, {12});
              task.same("peer", 0,
                        narrow(kGetSockOpt, static_cast<unsigned>(pair[0]), SOL_SOCKET, SO_PEERCRED,
                               low.at(264), low.at(256)));
              task.same("peer's ids", Ids{70000, 0}, low.words(268, 2));
            });
          }),
      "");
}

TEST_P(OnI386, Files) {
  EXPECT_EQ(
      run(options(Profile::full),
          [](Task& task) {
            Low low;
            const auto file = static_cast<unsigned>(::open("/tmp/f", O_CREAT | O_RDWR, 0644));
            ::symlink("f", "/tmp/l");
            const auto here = static_cast<unsigned>(AT_FDCWD);
            const unsigned name = low.text("/tmp/f");
            // struct stat64 of i386 has uid and gid at 24.
            auto all_say = [&](const char* what, const Ids& owner) {
              auto said = [&](const char* call, int result) {
                task.same(std::string(what) + ", " + call, 0, result);
                task.same(std::string(what) + ", " + call, owner, low.words(24, 2));
                low.put(24, {7, 7});
              };
              said("stat64", narrow(kStat64, name, low.at(0)));
              said("lstat64", narrow(kLstat64, name, low.at(0)));
              said("fstat64", narrow(kFstat64, file, low.at(0)));
              said("fstatat64", narrow(kFstatAt64, here, name, low.at(0), 0));
              task.same("statx", 0, narrow(kStatx, here, name, 0, STATX_BASIC_STATS, low.at(1024)));
              task.same("statx", owner, low.words(1024 + offsetof(struct statx, stx_uid), 2));
            };
            all_say("new", {0, 0});
            task.same("chown32", 0, narrow(kChown32, name, 70000, 80000));
            all_say("chown32", {70000, 80000});
            const auto keep = static_cast<unsigned>(-1);
            task.same("fchown32", 0, narrow(kFchown32, file, keep, 90000));
            all_say("fchown32", {70000, 90000});
            task.same("fchownat", 0, narrow(kFchownAt, here, name, 80000, keep, 0));
            all_say("fchownat", {80000, 90000});
            task.same("lchown32", 0, narrow(kLchown32, low.text("/tmp/l"), 70000, 70000));
            task.same("the link", 0, narrow(kLstat64, low.text("/tmp/l"), low.at(0)));
            task.same("the link", Ids{70000, 70000}, low.words(24, 2));
            low.text("/tmp/f");
            all_say("lchown32", {80000, 90000});
            task.same("no such file", -ENOENT, narrow(kChown32, low.text("/tmp/x"), 70000, 1));
            task.same("bad pointer", -EFAULT, narrow(kStat64, low.text("/tmp/f"), 8));
            task.same("device", -EPERM, narrow(kMknod, low.text("/tmp/d"), S_IFCHR | 0600, 259));
            const Ids acl{2,    0x60001, keep, 0x40002, 70000, 0x40004,
                          keep, 0x40010, keep, 0x00020, keep};
            low.put(4096, acl);
            ::strcpy(reinterpret_cast<char*>(low.at(61000)), "system.posix_acl_access");
            task.same("setxattr", 0,
                      narrow(kSetXattr, low.text("/tmp/f"), low.at(61000), low.at(4096), 44, 0));
            task.same("getxattr", 44,
                      narrow(kGetXattr, low.text("/tmp/f"), low.at(61000), low.at(8192), 400));
            task.same("acl", acl, low.words(8192, acl.size()));
          }),
      "");
}

TEST_P(OnI386, SystemV) {
  EXPECT_EQ(
      run(options(Profile::full),
          [](Task& task) {
            Low low;
            // All begin with struct ipc64_perm: key, uid, gid, cuid, cgid.
            auto both = [&](const char* what, auto call) {
              task.same(what, 0, call(IPC_STAT));
              low.put(4, {70000, 80000});
              task.same(std::string(what) + " set", 0, call(IPC_SET));
              task.same(std::string(what) + " untouched", Ids{70000, 80000}, low.words(4, 2));
              low.put(4, {7, 7, 7, 7});
              task.same(what, 0, call(IPC_STAT));
              task.same(std::string(what) + " owner", Ids{70000, 80000, 0, 0}, low.words(4, 4));
            };
            const auto memory =
                static_cast<unsigned>(::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600));
            const auto queue = static_cast<unsigned>(::msgget(IPC_PRIVATE, IPC_CREAT | 0600));
            const auto lock = static_cast<unsigned>(::semget(IPC_PRIVATE, 1, IPC_CREAT | 0600));
            both("shm", [&](unsigned what) { return narrow(kShmCtl, memory, what, low.at(0)); });
            both("msg", [&](unsigned what) { return narrow(kMsgCtl, queue, what, low.at(0)); });
            both("sem", [&](unsigned what) { return narrow(kSemCtl, lock, 0, what, low.at(0)); });
          }),
      "");
}

}  // namespace
#endif
