#include "ring/fs_ops.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "base/fd.hpp"
#include "ring/at.hpp"
#include "ring/task.hpp"

namespace ring {
namespace {

class FsOps : public testing::TestWithParam<Io> {
 protected:
  void SetUp() override {
    std::string path = "/tmp/uni-ring.XXXXXX";
    file = base::Fd(::mkstemp(path.data()));
    ASSERT_TRUE(file.valid());
    ::unlink(path.c_str());
  }
  static Task<void> read(FileIo& io, int fd, std::string& into, off_t at, ssize_t& result) {
    result = co_await io.read(fd, into.data(), into.size(), at);
  }
  static Task<void> write(FileIo& io, int fd, const std::string& text, off_t at, ssize_t& result) {
    result = co_await io.write(fd, text.data(), text.size(), at);
  }
  static Task<void> sync(FileIo& io, int fd, ssize_t& result) {
    result = co_await io.sync(fd, true);
  }
  static Task<void> allocate(FileIo& io, int fd, int mode, off_t at, off_t size, ssize_t& result) {
    result = co_await io.allocate(fd, mode, at, size);
  }
  ssize_t finish(ssize_t& result) {
    while (result == kPending) reactor->turn();
    return result;
  }
  ssize_t read_now(std::string& into, off_t at, int fd = -1) {
    ssize_t result = kPending;
    spawn(read(io, fd < 0 ? file.get() : fd, into, at, result));
    return finish(result);
  }
  ssize_t write_now(const std::string& text, off_t at, int fd = -1) {
    ssize_t result = kPending;
    spawn(write(io, fd < 0 ? file.get() : fd, text, at, result));
    return finish(result);
  }
  static constexpr ssize_t kPending = -100'000;
  std::unique_ptr<Reactor> reactor = std::move(*Reactor::make());
  FileIo io{*reactor, GetParam()};
  base::Fd file;
};

TEST_P(FsOps, WritesAndReadsBack) {
  const std::string text(300'001, 't');
  EXPECT_EQ(write_now(text, 7), 300'001);
  std::string back(300'001, '\0');
  EXPECT_EQ(read_now(back, 7), 300'001);
  EXPECT_EQ(back, text);
  EXPECT_EQ(reactor->deferred_operations() > 0, GetParam() == Io::ring_only);
}

TEST_P(FsOps, ShortReadAtTheEnd) {
  write_now(std::string(8192, 'a') + "end", 0);
  for (off_t at : {0, 4096, 8192, 8193}) {
    std::string back(20'000, '\0');
    EXPECT_EQ(read_now(back, at), 8195 - at) << at;
  }
  std::string back(10, '\0');
  EXPECT_EQ(read_now(back, 8195), 0);
  EXPECT_EQ(read_now(back, 1 << 20), 0);
}

TEST_P(FsOps, ErrorsComeAsNegativeNumbers) {
  base::Fd read_only(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  base::Fd write_only(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  base::Fd directory(::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  base::Fd full(::open("/dev/full", O_RDWR | O_CLOEXEC));
  std::string back(10, '\0');
  EXPECT_EQ(read_now(back, 0, write_only.get()), -EBADF);
  EXPECT_EQ(write_now("text", 0, read_only.get()), -EBADF);
  EXPECT_EQ(read_now(back, 0, directory.get()), -EISDIR);
  EXPECT_EQ(write_now("text", 0, full.get()), -ENOSPC);
}

TEST_P(FsOps, SyncAndAllocate) {
  ssize_t result = kPending;
  spawn(sync(io, file.get(), result));
  EXPECT_EQ(finish(result), 0);
  result = kPending;
  spawn(allocate(io, file.get(), 0, 4096, 8192, result));
  EXPECT_EQ(finish(result), 0);
  struct stat st;
  ::fstat(file.get(), &st);
  EXPECT_EQ(st.st_size, 12288);
  result = kPending;
  spawn(allocate(io, file.get(), FALLOC_FL_KEEP_SIZE, 0, -1, result));
  EXPECT_EQ(finish(result), -EINVAL);
}

INSTANTIATE_TEST_SUITE_P(Io, FsOps, testing::Values(Io::automatic, Io::inline_only, Io::ring_only));

/// What the ring carries may be interrupted by pages that are there and pages that are not.
TEST(Transfer, PageThatIsNotCachedGoesToTheRing) {
  std::string path = "/var/tmp/uni-ring.XXXXXX";
  base::Fd file(::mkstemp(path.data()));
  ASSERT_TRUE(file.valid());
  ::unlink(path.c_str());
  const std::string text(1 << 20, 't');
  ASSERT_EQ(::write(file.get(), text.data(), text.size()), 1 << 20);
  ::fsync(file.get());
  ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
  char first[4096];
  ASSERT_EQ(::pread(file.get(), first, sizeof first, 0), 4096);
  auto reactor = std::move(*Reactor::make());
  FileIo io(*reactor, Io::automatic);
  std::string back(1 << 20, '\0');
  ssize_t result = -1;
  auto read = [](FileIo& from, int fd, std::string& into, ssize_t& told) -> Task<void> {
    told = co_await from.read(fd, into.data(), into.size(), 0);
  };
  spawn(read(io, file.get(), back, result));
  while (result == -1) reactor->turn();
  EXPECT_EQ(result, 1 << 20);
  EXPECT_EQ(back, text);
}

TEST(At, OpenBeneathNeverLeaves) {
  std::string root = "/tmp/uni-at.XXXXXX";
  ASSERT_TRUE(::mkdtemp(root.data()));
  ::mkdir((root + "/in").c_str(), 0755);
  (void)!::symlink("..", (root + "/in/up").c_str());
  (void)!::symlink("/", (root + "/in/abs").c_str());
  base::Fd in(::open((root + "/in").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  for (const char* path : {"..", "up", "abs", "abs/etc", "/etc", "./../in"})
    EXPECT_FALSE(at::open_beneath(in.get(), path, O_PATH)) << path;
  EXPECT_TRUE(at::open_beneath(in.get(), ".", O_PATH));
  EXPECT_FALSE(at::open({in.get(), "up"}, O_RDONLY));
  EXPECT_EQ(at::readlink({in.get(), "up"}).value_or("?"), "..");
  ::unlink((root + "/in/up").c_str());
  ::unlink((root + "/in/abs").c_str());
  ::rmdir((root + "/in").c_str());
  ::rmdir(root.c_str());
}

TEST(At, ValuesLongerThanTheLimit) {
  std::string path = "/tmp/uni-at.XXXXXX";
  base::Fd fd(::mkstemp(path.data()));
  at::Where where{AT_FDCWD, path};
  for (std::size_t size : {0, 1, 255, 256, 257, 1000}) {
    const std::string value(size, 'v');
    ASSERT_TRUE(at::set_xattr(where, "user.x", value)) << size;
    EXPECT_EQ(at::get_xattr(where, "user.x", 4096).value_or("?"), value);
    EXPECT_EQ(at::xattr_size(where, "user.x").value_or(99), size);
    auto limited = at::get_xattr(where, "user.x", 256);
    EXPECT_EQ(limited ? 0 : limited.error().value, size <= 256 ? 0 : ERANGE) << size;
  }
  EXPECT_EQ(at::list_xattr(where).value_or("?"), std::string("user.x\0", 7));
  EXPECT_TRUE(at::remove_xattr(where, "user.x"));
  EXPECT_EQ(at::get_xattr(where, "user.x", 10).error().value, ENODATA);
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace ring
