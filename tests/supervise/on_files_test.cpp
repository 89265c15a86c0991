#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/posix_acl.h>
#include <linux/stat.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "tests/supervise/supervised.hpp"

namespace {

using seccomp::Profile;
using supervised::in_child;
using supervised::run;
using supervised::Task;

using Ids = std::vector<unsigned>;

class OnFiles : public supervised::Everywhere {};
INSTANTIATE_TEST_SUITE_P(All, OnFiles, supervised::everywhere(), supervised::name_of);

Ids owner_of(const struct stat& found) {
  return {found.st_uid, found.st_gid};
}
// By each of the calls that tell owners.
std::vector<Ids> owners(const char* path, int file) {
  std::vector<Ids> all;
  struct stat found {};
  struct statx more {};
  if (::syscall(SYS_stat, path, &found) == 0) all.push_back(owner_of(found));
  if (::syscall(SYS_lstat, path, &found) == 0) all.push_back(owner_of(found));
  if (::syscall(SYS_fstat, file, &found) == 0) all.push_back(owner_of(found));
  if (::syscall(SYS_newfstatat, AT_FDCWD, path, &found, 0) == 0) all.push_back(owner_of(found));
  if (::syscall(SYS_newfstatat, file, "", &found, AT_EMPTY_PATH) == 0)
    all.push_back(owner_of(found));
  const std::string magic = "/proc/self/fd/" + std::to_string(file);
  if (::syscall(SYS_stat, magic.c_str(), &found) == 0) all.push_back(owner_of(found));
  if (::syscall(SYS_statx, AT_FDCWD, path, 0, STATX_BASIC_STATS, &more) == 0)
    all.push_back({more.stx_uid, more.stx_gid});
  if (::syscall(SYS_statx, file, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &more) == 0)
    all.push_back({more.stx_uid, more.stx_gid});
  return all;
}
void all_say(Task& task, const std::string& what, const Ids& owner, const char* path, int file) {
  const std::vector<Ids> told = owners(path, file);
  task.same(what + ": calls that answered", std::size_t{8}, told.size());
  for (std::size_t i = 0; i < told.size(); ++i)
    task.same(what + ", call " + std::to_string(i), owner, told[i]);
}

TEST_P(OnFiles, ChownIsWhatStatTells) {
  EXPECT_EQ(run(options(Profile::full),
                [](Task& task) {
                  const int file = ::open("/tmp/f", O_CREAT | O_RDWR, 0644);
                  ::symlink("f", "/tmp/link");
                  all_say(task, "new", {0, 0}, "/tmp/f", file);
                  task.same("chown", 0, ::syscall(SYS_chown, "/tmp/f", 70000, 80000));
                  all_say(task, "chown", {70000, 80000}, "/tmp/f", file);
                  task.same("fchown", 0, ::syscall(SYS_fchown, file, 90000, -1));
                  all_say(task, "fchown", {90000, 80000}, "/tmp/f", file);
                  task.same("by the link", 0, ::syscall(SYS_chown, "/tmp/link", -1, 70000));
                  all_say(task, "by the link", {90000, 70000}, "/tmp/f", file);
                  task.same("fchownat", 0,
                            ::syscall(SYS_fchownat, file, "", 80000, 80000, AT_EMPTY_PATH));
                  all_say(task, "fchownat", {80000, 80000}, "/tmp/f", file);
                  task.same("lchown", 0, ::syscall(SYS_lchown, "/tmp/link", 70000, 70000));
                  all_say(task, "lchown", {80000, 80000}, "/tmp/f", file);
                  struct stat found {};
                  task.same("lstat", 0, ::syscall(SYS_lstat, "/tmp/link", &found));
                  task.same("the link", Ids{70000, 70000}, owner_of(found));
                  task.same("no such file", -1, ::syscall(SYS_chown, "/tmp/none", 70000, 70000));
                  task.same("why", ENOENT, errno);
                  task.same("bad flags", -1,
                            ::syscall(SYS_fchownat, file, "", 70000, 70000, 1 << 30));
                  task.same("why", EINVAL, errno);
                }),
            "");
}

TEST_P(OnFiles, WhatATaskMakesIsItsOwn) {
  EXPECT_EQ(run(options(Profile::full),
                [](Task& task) {
                  in_child(task, [&] {
                    task.same("setgid", 0, ::syscall(SYS_setgid, 80000));
                    task.same("setuid", 0, ::syscall(SYS_setuid, 70000));
                    const int file = ::open("/tmp/mine", O_CREAT | O_RDWR, 0644);
                    all_say(task, "new", {70000, 80000}, "/tmp/mine", file);
                    const int memory = ::memfd_create("m", 0);
                    struct stat found {};
                    task.same("fstat", 0, ::syscall(SYS_fstat, memory, &found));
                    task.same("memfd", Ids{70000, 80000}, owner_of(found));
                    task.same("give away", -1, ::syscall(SYS_fchown, file, 90000, -1));
                    task.same("why", EPERM, errno);
                    task.same("bad pointer", -1, ::syscall(SYS_fstat, file, 8));
                    task.same("why", EFAULT, errno);
                  });
                }),
            "");
}

TEST_P(OnFiles, GroupsAreThoseThatWereSet) {
  EXPECT_EQ(run(options(Profile::basic),
                [](Task& task) {
                  static const std::array<gid_t, 3> groups{42, 70000,
                                                           90000};  // in pages that are read only
                  task.same("set", 0, ::syscall(SYS_setgroups, groups.size(), groups.data()));
                  std::vector<gid_t> got(3);
                  task.same("count", 3, ::syscall(SYS_getgroups, 0, nullptr));
                  task.same("get", 3, ::syscall(SYS_getgroups, 3, got.data()));
                  task.same("list", std::vector<gid_t>(groups.begin(), groups.end()), got);
                  task.same("untouched", 70000u, const_cast<const volatile gid_t&>(groups[1]));
                  task.same("too small", -1, ::syscall(SYS_getgroups, 2, got.data()));
                  task.same("why", EINVAL, errno);
                  task.same("bad pointer", -1, ::syscall(SYS_getgroups, 3, 8));
                  task.same("why", EFAULT, errno);
                  task.same("bad list", -1, ::syscall(SYS_setgroups, 3, 8));
                  task.same("why", EFAULT, errno);
                  const gid_t none = static_cast<gid_t>(-1);
                  task.same("no id", -1, ::syscall(SYS_setgroups, 1, &none));
                  task.same("why", EINVAL, errno);
                  task.same("still there", 3, ::syscall(SYS_getgroups, 3, got.data()));
                  task.same("none", 0, ::syscall(SYS_setgroups, 0, nullptr));
                  task.same("gone", 0, ::syscall(SYS_getgroups, 3, got.data()));
                }),
            "");
}

TEST_P(OnFiles, PeersAreWhoTheyAre) {
  EXPECT_EQ(
      run(options(Profile::basic),
          [](Task& task) {
            const std::array<gid_t, 2> groups{70000, 90000};
            task.same("setgroups", 0, ::syscall(SYS_setgroups, groups.size(), groups.data()));
            in_child(task, [&] {
              task.same("setgid", 0, ::syscall(SYS_setgid, 80000));
              task.same("setuid", 0, ::syscall(SYS_setuid, 70000));
              std::array<int, 2> pair{};
              ::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data());
              ucred peer{};
              socklen_t length = sizeof peer;
              task.same("peercred", 0,
                        ::getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
              task.same("peer", Ids{70000, 80000}, Ids{peer.uid, peer.gid});
              task.same("pid", ::getpid(), peer.pid);
              peer = {7, 7, 7};
              length = 8;
              task.same("short", 0, ::getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
              task.same("peer", Ids{70000, 7}, Ids{peer.uid, peer.gid});
              std::vector<gid_t> list(8);
              length = 8 * sizeof(gid_t);
              task.same("groups", 0,
                        ::getsockopt(pair[0], SOL_SOCKET, SO_PEERGROUPS, list.data(), &length));
              list.resize(length / sizeof(gid_t));
              task.same("list", std::vector<gid_t>{70000, 90000}, list);
              int type = 0;
              length = sizeof type;
              task.same("others", 0, ::getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &type, &length));
              task.same("type", static_cast<int>(SOCK_STREAM), type);
            });
          }),
      "");
}

TEST_P(OnFiles, PrioritiesOfAUser) {
  EXPECT_EQ(run(options(Profile::basic),
                [](Task& task) {
                  in_child(task, [&] {
                    task.same("setuid", 0, ::syscall(SYS_setuid, 70000));
                    task.same("set", 0, ::setpriority(PRIO_USER, 70000, 7));
                    errno = 0;
                    task.same("get", 7, ::getpriority(PRIO_USER, 70000));
                    task.same("own", 7, ::getpriority(PRIO_USER, 0));
                    task.same("nobody's", -1, ::getpriority(PRIO_USER, 99999));
                    task.same("why", ESRCH, errno);
                  });
                }),
            "");
}

TEST_P(OnFiles, OwnersOfSystemVObjects) {
  EXPECT_EQ(
      run(options(Profile::full),
          [](Task& task) {
            const int memory = ::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
            const int queue = ::msgget(IPC_PRIVATE, IPC_CREAT | 0600);
            const int lock = ::semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
            shmid_ds shared{};
            msqid_ds messages{};
            semid_ds locks{};
            task.same("shm", 0, ::shmctl(memory, IPC_STAT, &shared));
            shared.shm_perm.uid = 70000, shared.shm_perm.gid = 80000;
            task.same("shm set", 0, ::shmctl(memory, IPC_SET, &shared));
            task.same("put back", Ids{70000, 80000}, Ids{shared.shm_perm.uid, shared.shm_perm.gid});
            shared = {};
            task.same("shm", 0, ::shmctl(memory, IPC_STAT, &shared));
            task.same("shm owner", Ids{70000, 80000, 0},
                      Ids{shared.shm_perm.uid, shared.shm_perm.gid, shared.shm_perm.cuid});
            task.same("msg", 0, ::msgctl(queue, IPC_STAT, &messages));
            messages.msg_perm.uid = 70000;
            task.same("msg set", 0, ::msgctl(queue, IPC_SET, &messages));
            messages = {};
            task.same("msg", 0, ::msgctl(queue, IPC_STAT, &messages));
            task.same("msg owner", 70000u, messages.msg_perm.uid);
            task.same("sem", 0, ::semctl(lock, 0, IPC_STAT, &locks));
            locks.sem_perm.uid = 70000;
            task.same("sem set", 0, ::semctl(lock, 0, IPC_SET, &locks));
            locks = {};
            task.same("sem", 0, ::semctl(lock, 0, IPC_STAT, &locks));
            task.same("sem owner", 70000u, locks.sem_perm.uid);
          }),
      "");
}

TEST_P(OnFiles, IdsInAnAcl) {
  EXPECT_EQ(run(options(Profile::full),
                [](Task& task) {
                  const unsigned none = 0xffffffff;
                  const Ids acl{2,       0x60001, none,    0x40002, 70000,   0x40004, none,
                                0x40008, 80000,   0x40010, none,    0x00020, none};
                  ::mknod("/tmp/acl", S_IFREG | 0600, 0);
                  const char* name = "system.posix_acl_access";
                  task.same("set", 0, ::setxattr("/tmp/acl", name, acl.data(), acl.size() * 4, 0));
                  Ids got(32);
                  const auto length = ::getxattr("/tmp/acl", name, got.data(), got.size() * 4);
                  task.same("get", static_cast<ssize_t>(acl.size() * 4), length);
                  got.resize(acl.size());
                  task.same("acl", acl, got);
                  task.same("size", length, ::lgetxattr("/tmp/acl", name, nullptr, 0));
                  in_child(task, [&] {
                    task.is_true("closed to all", ::chmod("/tmp/acl", 0640) == 0);
                    task.same("setuid", 0, ::syscall(SYS_setuid, 70000));
                    task.is_true("read by whom the acl names", ::open("/tmp/acl", O_RDONLY) >= 0);
                  });
                  in_child(task, [&] {
                    task.same("setgid", 0, ::syscall(SYS_setgid, 90000));
                    task.same("setuid", 0, ::syscall(SYS_setuid, 90000));
                    task.is_true("not by others", ::open("/tmp/acl", O_RDONLY) < 0);
                  });
                }),
            "");
}

}  // namespace
