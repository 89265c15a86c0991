// What is known of a thread that waits: credentials, memory, paths. Real kernel, root.
#include "seccomp/tracee.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/supervise/rig.hpp"

namespace supervise_test {
namespace {

using seccomp::Answer;
using seccomp::Credentials;
using seccomp::Notice;

// The body asks with this call, which no system has otherwise anything to do with here.
constexpr int kAsk = SYS_sched_get_priority_max;
long ask(long what, const void* one = nullptr, long two = 0, long three = 0) {
  return ::syscall(kAsk, what, one, two, three);
}

const Start kAsking{{kAsk}, false, kPool};

TEST(Tracee, CredentialsAndGroups) {
  Rig rig;
  std::vector<std::optional<Credentials>> seen;
  std::vector<identity::Id> groups;
  std::optional<pid_t> process;
  auto look = [&](Rig& its, Notice notice) -> ring::Task<Answer> {
    seen.push_back(its.tracees.credentials(notice.tid));
    process = its.tracees.process(notice.tid);
    struct Look {
      static ring::Task<Answer> at(Rig* r, pid_t tid, std::vector<identity::Id>* into) {
        auto found = co_await r->tracees.groups(tid);
        if (found) *into = *found;
        co_return Answer::value(0);
      }
    };
    return Look::at(&its, notice.tid, &groups);
  };
  int status = rig.run(
      kAsking,
      [] {
        gid_t mine[] = {5, 7};
        if (::setgroups(2, mine) != 0 || ask(0) != 0) return 1;
        if (::setresgid(10, 11, 12) != 0 || ::setresuid(20, 21, 22) != 0) return 2;
        std::thread([] { ask(0); }).join();
        return static_cast<int>(ask(0));
      },
      look);
  EXPECT_EQ(status, 0);
  ASSERT_EQ(seen.size(), 3u);
  const Credentials changed{{1020, 1021, 1022, 1021}, {1010, 1011, 1012, 1011}};
  EXPECT_EQ(seen[0]->uids, (Credentials::Four{0, 0, 0, 0}));
  for (int i : {1, 2}) {
    EXPECT_EQ(seen[i]->uids, changed.uids) << i;
    EXPECT_EQ(seen[i]->gids, changed.gids) << i;
  }
  EXPECT_EQ(groups, (std::vector<identity::Id>{1005, 1007}));
  EXPECT_EQ(process, rig.child);
  EXPECT_FALSE(rig.tracees.credentials(rig.child)) << "it is gone";
  EXPECT_FALSE(rig.tracees.credentials(0));
}

TEST(Tracee, UserNamespaces) {
  Rig rig;
  std::vector<std::optional<std::uint64_t>> seen;
  int status = rig.run(
      kAsking,
      [] {
        if (ask(0) != 0) return 1;
        if (ask(1) != 0 || ::unshare(CLONE_NEWUSER) != 0) return 2;
        if (ask(0) != 0) return 3;
        pid_t child = ::fork();
        if (child == 0) ::_exit(static_cast<int>(ask(0)));
        ::waitpid(child, nullptr, 0);
        return 0;
      },
      [&seen](Rig& its, Notice notice) -> ring::Task<Answer> {
        seen.push_back(its.tracees.user_namespace(notice.tid));
        if (notice.arguments[0] == 1) its.tracees.moved(notice.tid);
        return [](Rig*) -> ring::Task<Answer> { co_return Answer::value(0); }(&its);
      });
  EXPECT_EQ(status, 0);
  struct stat ours;
  ASSERT_EQ(::stat("/proc/self/ns/user", &ours), 0);
  ASSERT_EQ(seen.size(), 4u);
  ASSERT_TRUE(seen[0] && seen[1] && seen[2] && seen[3]);
  EXPECT_NE(*seen[0], ours.st_ino);
  EXPECT_EQ(*seen[0], *seen[1]);
  EXPECT_NE(*seen[2], *seen[1]) << "an old answer for a task that has moved";
  EXPECT_EQ(*seen[2], *seen[3]);
}

// A look is used once, and not at all when the thread has changed meanwhile.
TEST(Tracee, ALookIsNotUsedForAnotherCall) {
  Rig rig;
  std::vector<identity::Id> seen;
  auto look = [&seen](Rig& its, Notice notice) -> ring::Task<Answer> {
    if (notice.number == SYS_setresuid) {
      its.tracees.user_namespace(notice.tid);
      return to_slot(its, notice);
    }
    if (notice.arguments[0] == 1) its.tracees.user_namespace(notice.tid);
    for (int i = 0; i < 2; ++i)
      if (auto who = its.tracees.credentials(notice.tid)) seen.push_back(who->uids.effective);
    return [](Rig*) -> ring::Task<Answer> { co_return Answer::value(0); }(&its);
  };
  int status = rig.run(
      {{kAsk, SYS_setresuid}, false, kPool},
      [] {
        if (ask(1) != 0 || ::syscall(SYS_setresuid, -1, 60000, -1) != 0 || ask(0) != 0) return 1;
        return ask(1) != 0 ? 2 : 0;
      },
      look);
  EXPECT_EQ(status, 0);
  const identity::Id slot = 1000 + kSlot;
  EXPECT_EQ(seen, (std::vector<identity::Id>{0, 0, slot, slot, slot, slot}));
}

TEST(Tracee, MoreThreadsThanAreRemembered) {
  Rig rig;
  unsigned wrong = 0;
  int status = rig.run(
      kAsking,
      [] {
        for (int i = 0; i < 1200; ++i) {
          pid_t child = ::fork();
          if (child == 0) {
            if (::setresuid(static_cast<uid_t>(i + 1), 0, 0) != 0) ::_exit(1);
            ::_exit(static_cast<int>(ask(i)));
          }
          int state = 0;
          if (::waitpid(child, &state, 0) != child || state != 0) return 1;
        }
        return 0;
      },
      [&wrong](Rig& its, Notice notice) -> ring::Task<Answer> {
        auto who = its.tracees.credentials(notice.tid);
        if (!who || who->uids.real != 1001 + notice.arguments[0]) ++wrong;
        return [](Rig*) -> ring::Task<Answer> { co_return Answer::value(0); }(&its);
      });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(wrong, 0u);
}

ring::Task<Answer> answer_with_path(Rig& rig, Notice notice) {
  auto path = co_await rig.tracees.read_path(notice.tid, notice.arguments[1]);
  if (!path) co_return Answer::fail(path.error().value);
  co_return Answer::value(static_cast<std::int64_t>(path->size()));
}

TEST(Tracee, Paths) {
  Rig rig;
  int status = rig.run(
      kAsking,
      [] {
        auto* pages = static_cast<char*>(
            ::mmap(nullptr, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        std::memset(pages, 'x', 4 * 4096);
        ::munmap(pages + 2 * 4096, 4096);
        char* edge = pages + 2 * 4096;
        if (ask(0, "") != 0) return 1;
        if (ask(0, "/etc/passwd") != 11) return 2;
        edge[-1] = '\0';  // ends with the page, behind which there is nothing
        if (ask(0, edge - 100) != 99) return 3;
        if (ask(0, edge - 4096) != 4095) return 4;
        edge[-1] = 'x';
        if (ask(0, edge - 100) != -1 || errno != EFAULT) return 5;
        if (ask(0, pages) != -1 || errno != ENAMETOOLONG) return 6;
        pages[4096] = '\0';
        if (ask(0, pages + 1) != 4095) return 7;  // two pages
        if (ask(0, pages) != -1 || errno != ENAMETOOLONG) return 8;
        if (ask(0, nullptr) != -1 || errno != EFAULT) return 9;
        if (ask(0, reinterpret_cast<void*>(-1l)) != -1 || errno != EFAULT) return 10;
        if (ask(0, reinterpret_cast<void*>(INT64_MIN)) != -1 || errno != EFAULT) return 11;
        ::mprotect(pages, 4096, PROT_NONE);
        return 0;
      },
      answer_with_path);
  EXPECT_EQ(status, 0);
}

// Answers with the inode number of what a path means.
ring::Task<Answer> answer_with_inode(Rig& rig, Notice notice) {
  auto path = co_await rig.tracees.read_path(notice.tid, notice.arguments[1]);
  if (!path) co_return Answer::fail(path.error().value);
  auto file = co_await rig.tracees.open_path(notice.tid, static_cast<int>(notice.arguments[2]),
                                             *path, static_cast<int>(notice.arguments[3]));
  if (!file) co_return Answer::fail(file.error().value);
  struct stat found;
  if (::fstat(file->get(), &found) != 0) co_return Answer::fail(errno);
  co_return Answer::value(static_cast<std::int64_t>(found.st_ino % 1'000'000'000));
}

// The same by the kernel, or what errno it has.
bool agrees(int dirfd, const char* path, int flags) {
  struct stat found;
  errno = 0;
  long native = ::fstatat(dirfd, path, &found, flags) == 0
                    ? static_cast<long>(found.st_ino % 1'000'000'000)
                    : -errno;
  errno = 0;
  long ours = ask(0, path, dirfd, flags);
  if (ours < 0) ours = -errno;
  if (ours == native) return true;
  std::fprintf(stderr, "%d %s %d: kernel %ld, we %ld\n", dirfd, path, flags, native, ours);
  return false;
}

bool all_agree() {
  static constexpr const char* kPaths[] = {"/",
                                           ".",
                                           "..",
                                           "../..",
                                           "../../../../etc",
                                           "/dir/file",
                                           "file",
                                           "./file",
                                           "../top",
                                           "link",
                                           "link/",
                                           "absolute",
                                           "absolute/x",
                                           "climbs",
                                           "climbs/dir",
                                           "dangling",
                                           "/dir/absolute",
                                           "nothing",
                                           "file/",
                                           "file/x",
                                           "loop",
                                           "/dir/../top",
                                           "../dir/./file",
                                           "",
                                           "/dir/climbs/dir/file"};
  int dir = ::open("/dir", O_RDONLY | O_DIRECTORY), file = ::open("/dir/file", O_RDONLY);
  int path_only = ::open("/dir/link", O_PATH | O_NOFOLLOW);
  bool good = true;
  for (int flags : {0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW})
    for (const char* path : kPaths) {
      if (std::strcmp(path, "loop") == 0 && !(flags & AT_SYMLINK_NOFOLLOW)) continue;
      for (int from : {AT_FDCWD, dir}) good &= agrees(from, path, flags);
    }
  good &= agrees(file, "", AT_EMPTY_PATH) && agrees(path_only, "", AT_EMPTY_PATH);
  good &= agrees(file, "x", 0) && agrees(4711, "x", 0);
  return good;
}

class TaskPath : public testing::Test {
 protected:
  TaskPath() {
    root = "/var/tmp/uni-path.XXXXXX";
    if (::mkdtemp(root.data()) == nullptr) std::abort();
    namespace fs = std::filesystem;
    fs::permissions(root, fs::perms(0755));
    fs::create_directories(root + "/dir/sub");
    fs::create_directories(root + "/etc");
    std::ofstream(root + "/dir/file") << "x";
    std::ofstream(root + "/top") << "x";
    fs::create_symlink("file", root + "/dir/link");
    fs::create_symlink("/etc", root + "/dir/absolute");
    fs::create_symlink("../../..", root + "/dir/climbs");
    fs::create_symlink("/nowhere", root + "/dir/dangling");
    fs::create_symlink("loop", root + "/dir/loop");
  }
  ~TaskPath() override { std::filesystem::remove_all(root); }
  std::string root;
};

TEST_F(TaskPath, MeansWhatItMeansToAChrootedTask) {
  Rig rig;
  std::string where = root;
  int status = rig.run(
      {{kAsk}, false, ""},
      [where] {
        if (::chroot(where.c_str()) != 0 || ::chdir("/dir") != 0) return 1;
        return all_agree() ? 0 : 2;
      },
      answer_with_inode);
  EXPECT_EQ(status, 0);
}

TEST_F(TaskPath, MeansWhatItMeansInAnotherMountNamespace) {
  Rig rig;
  std::string where = root;
  int status = rig.run(
      {{kAsk}, false, ""},
      [where] {
        if (::unshare(CLONE_NEWNS) != 0) return 1;
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
        if (::mount(where.c_str(), where.c_str(), nullptr, MS_BIND, nullptr) != 0) return 2;
        if (::chdir(where.c_str()) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0) return 3;
        if (::umount2(".", MNT_DETACH) != 0 || ::chdir("/dir") != 0) return 4;
        return all_agree() ? 0 : 5;
      },
      answer_with_inode);
  EXPECT_EQ(status, 0);
}

// What depends on who asks is left to the kernel.
TEST_F(TaskPath, MagicLinksAreNotFollowed) {
  Rig rig;
  int status = rig.run(
      {{kAsk}, false, ""},
      [] {
        std::string own = "/proc/" + std::to_string(::getpid());
        int number = 0;
        for (const std::string& path :
             {own + "/root" + "/etc", own + "/cwd", own + "/fd/0", own + "/exe", own + "/ns/user",
              std::string("/proc/self/status"), std::string("/proc/thread-self")}) {
          ++number;
          if (ask(0, path.c_str(), AT_FDCWD, 0) != -1 || errno != EXDEV) return number;
        }
        if (::mkdir("/var/tmp/uni-gone", 0700) != 0 || ::chdir("/var/tmp/uni-gone") != 0) return 20;
        ::rmdir("/var/tmp/uni-gone");
        // Of a directory without a name nobody can say what is above it.
        if (ask(0, "..", AT_FDCWD, 0) != -1 || errno != EXDEV) return 21;
        return 0;
      },
      answer_with_inode);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace supervise_test
