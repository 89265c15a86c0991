// Memory, paths and programs of a task that lie in a mount which the same thread serves: whoever
// waited for them there would wait for himself, for ever. Real kernel, root.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <thread>

#include "tests/supervise/fuse_file.hpp"
#include "tests/supervise/rig.hpp"

namespace supervise_test {
namespace {

using seccomp::Answer;
using seccomp::Notice;
using seccomp::Overlay;
using seccomp::Ran;
using seccomp::Rerun;

constexpr int kAsk = SYS_sched_get_priority_max;
constexpr std::size_t kSize = 4 * 4096;

// A page of the file that is mapped and in nobody's memory.
char* evicted(const std::string& path) {
  int file = ::open(path.c_str(), O_RDONLY);
  if (file < 0) return nullptr;
  auto* bytes =
      static_cast<char*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0));
  ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  unsigned char present[4] = {1, 1, 1, 1};
  ::mincore(bytes, kSize, present);
  return bytes == MAP_FAILED || present[0] & 1 ? nullptr : bytes;
}

ring::Task<Answer> length_of_path(Rig& rig, Notice notice) {
  auto path = co_await rig.tracees.read_path(notice.tid, notice.arguments[0]);
  if (!path) co_return Answer::fail(path.error().value);
  co_return Answer::value(static_cast<std::int64_t>(path->size()));
}

TEST(OwnMount, APathInIt) {
  Rig rig;
  FuseFile file(*rig.reactor, std::string(5000, 'p') + std::string(kSize - 5000, '\0'));
  std::string name = file.path();
  int status = rig.run(
      {{kAsk}, false, ""},
      [name] {
        char* bytes = evicted(name);
        if (!bytes) return 1;
        return ::syscall(kAsk, bytes + 4000) == 1000 ? 0 : 2;
      },
      length_of_path);
  EXPECT_EQ(status, 0);
  EXPECT_GT(file.reads, 0u) << "nothing was evicted";
}

TEST(OwnMount, AListInIt) {
  Rig rig;
  FuseFile file(*rig.reactor, std::string(kSize, 'p'));
  std::string name = file.path();
  int status = rig.run(
      {{SYS_setgroups}, false, kPool},
      [name] {
        char* bytes = evicted(name);
        if (!bytes) return 1;
        if (::syscall(SYS_setgroups, 2, bytes) != 0) return 2;
        return std::memcmp(bytes, "pppppppp", 8) == 0 ? 0 : 3;
      },
      other_groups);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(rig.ran, std::vector<Ran>{Ran::done});
}

// Who is killed while its memory does not come is dead for its parent, too.
TEST(OwnMount, AListThatNeverComes) {
  Rig rig;
  FuseFile file(*rig.reactor, std::string(kSize, 'p'));
  struct Seen {
    std::atomic<bool> reading, released;
  };
  auto& seen = shared<Seen>();
  ring::Timer later;
  file.hold([&] {
    seen.reading = true;
    later = rig.reactor->after(1000, [&] {
      seen.released = true;
      file.release();
    });
  });
  std::string name = file.path();
  int status = rig.run(
      {{SYS_setgroups}, false, kPool},
      [name, &seen] {
        pid_t child = ::fork();
        if (child == 0) {
          char* bytes = evicted(name);
          ::_exit(static_cast<int>(::syscall(SYS_setgroups, 2, bytes)));
        }
        while (!seen.reading) ::usleep(100);
        ::usleep(50'000);
        ::kill(child, SIGKILL);
        int state = 0;
        if (::waitpid(child, &state, 0) != child || !WIFSIGNALED(state)) return 1;
        return seen.released ? 2 : 0;
      },
      other_groups);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(rig.ran, std::vector<Ran>{Ran::gone});
}

ring::Task<Answer> size_of_file(Rig& rig, Notice notice) {
  auto path = co_await rig.tracees.read_path(notice.tid, notice.arguments[0]);
  if (!path) co_return Answer::fail(path.error().value);
  auto file = co_await rig.tracees.open_path(notice.tid, AT_FDCWD, *path, 0);
  if (!file) co_return Answer::fail(file.error().value);
  co_return Answer::value(1);
}

TEST(OwnMount, AFileOfIt) {
  Rig rig;
  FuseFile file(*rig.reactor, "x");
  std::string name = file.path();
  int status = rig.run(
      {{kAsk}, false, ""},
      [name] {
        if (::syscall(kAsk, name.c_str()) != 1) return 1;
        std::string other = name + "2";
        return ::syscall(kAsk, other.c_str()) == -1 && errno == ENOENT ? 0 : 2;
      },
      size_of_file);
  EXPECT_EQ(status, 0);
}

ring::Task<Answer> owner_at_a_glance(Rig& rig, Notice notice) {
  const auto path = notice.arguments[0] ? std::optional(notice.arguments[0]) : std::nullopt;
  auto found = co_await rig.tracees.glance(notice.tid, static_cast<int>(notice.arguments[1]), path,
                                           static_cast<int>(notice.arguments[2]));
  if (!found) co_return Answer::fail(found.error().value);
  co_return Answer::value(found->uid);
}
long glanced(const char* path, int dirfd = AT_FDCWD, int flags = 0) {
  // EAGAIN: somebody on this machine may just be mounting something; and whoever is the first to
  // follow a link writes that down, which is not remembered but done.
  long uid = -EAGAIN;
  for (int tries = 0; tries < 20 && uid == -EAGAIN; ++tries) {
    if (tries > 0) ::usleep(2000), (void)::access(path, F_OK);
    uid = ::syscall(kAsk, path, dirfd, flags);
    if (uid < 0) uid = -errno;
  }
  return uid;
}

// The names as a file of the mount has them, in a page that is in nobody's memory; what they name
// is told without asking a file system, and what can not be told so is not waited for.
TEST(OwnMount, AGlanceAtAnOwner) {
  const std::string dir = testing::TempDir() + "glance." + std::to_string(::getpid());
  const std::string name = dir + "/file", link = dir + "/link";
  ::mkdir(dir.c_str(), 0755);
  base::Fd made(::open(name.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ASSERT_EQ(::chown(name.c_str(), 4321, 4321), 0);
  ASSERT_EQ(::symlink("file", link.c_str()), 0);
  ASSERT_EQ(::lchown(link.c_str(), 1234, 1234), 0);
  Rig rig;
  FuseFile file(*rig.reactor,
                name + std::string(4096 - name.size(), '\0') + std::string(kSize, 'p'));
  const std::string inside = file.path();
  int status = rig.run(
      {{kAsk}, false, ""},
      [&] {
        char* bytes = evicted(inside);
        if (!bytes || glanced(bytes) != 4321) return 1;
        if (glanced(bytes + 8191) != -EAGAIN) return 2;  // it goes on behind the page
        if (glanced(link.c_str()) != 4321) return 3;
        if (glanced(link.c_str(), AT_FDCWD, AT_SYMLINK_NOFOLLOW) != 1234) return 4;
        int at = ::open(dir.c_str(), O_PATH | O_DIRECTORY), fd = ::open(name.c_str(), O_RDONLY);
        if (glanced("file", at) != 4321 || glanced(name.c_str(), at) != 4321) return 5;
        if (glanced("", fd, AT_EMPTY_PATH) != 4321) return 6;
        if (glanced(nullptr, fd, AT_EMPTY_PATH) != 4321) return 7;
        if (glanced("", fd) != -ENOENT || glanced("x", 999) != -EBADF) return 8;
        if (::chdir(dir.c_str()) != 0 || glanced("file") != 4321 || glanced("link") != 4321)
          return 9;
        if (glanced("../..") != -EAGAIN || glanced("/proc/self/status") != -EAGAIN) return 10;
        if (glanced(reinterpret_cast<const char*>(16)) != -EFAULT) return 11;
        const long own = glanced(inside.c_str());
        return own == 0 || own == -EAGAIN ? 0 : 12;
      },
      owner_at_a_glance);
  EXPECT_EQ(status, 0);
  EXPECT_GT(file.reads, 0u) << "nothing was evicted";
  ::unlink(link.c_str());
  ::unlink(name.c_str());
  ::rmdir(dir.c_str());
}

// While a thread execs nobody may begin to trace its process: the kernel makes us wait until the
// program has been read.
TEST(OwnMount, AProgramOfItWhileAnotherThreadChangesItsId) {
  Rig rig;
  FuseFile file(*rig.reactor, std::string(kSize, 'p'));
  auto& reading = shared<std::atomic<bool>>();
  ring::Timer later;
  file.hold([&] {
    reading = true;
    later = rig.reactor->after(200, [&file] { file.release(); });
  });
  std::string name = file.path();
  int status = rig.run(
      {{SYS_setresuid}, false, kPool},
      [name, &reading] {
        int error = 0;
        std::thread other([&] {
          ::execl(name.c_str(), "data", nullptr);
          error = errno;
        });
        while (!reading) ::usleep(100);
        if (::syscall(SYS_setresuid, 60000, 60000, 60000) != 0) return 1;
        other.join();
        if (error != ENOEXEC) return 2;
        return ::geteuid() == kSlot ? 0 : 3;
      },
      to_slot);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(rig.ran, std::vector<Ran>{Ran::done});
}

}  // namespace
}  // namespace supervise_test
