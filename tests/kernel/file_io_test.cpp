// Data: direct and buffered I/O beside each other, allocation, copying, locks, maps, append.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

struct Aligned {
  explicit Aligned(size_t size, char fill = 0)
      : bytes(static_cast<char*>(std::aligned_alloc(4096, size))) {
    std::memset(bytes, fill, size);
  }
  ~Aligned() { std::free(bytes); }
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;
  char* bytes;
};

/// A digest that is short to print and differs where content differs.
std::string digest(const std::string& text) {
  std::uint64_t hash = 1469598103934665603U;
  for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211U;
  return std::to_string(text.size()) + "/" + std::to_string(hash);
}

TEST(DirectIo, BesideBufferedSeesAndShowsEverything) {
  const auto prepare = [](const std::string& dir) {
    write_file(dir + "/f", std::string(65536, 'l'));
  };
  const auto story = [](const std::string& dir) {
    const base::Fd direct = open_at(dir + "/f", O_RDWR | O_DIRECT);
    const base::Fd buffered = open_at(dir + "/f", O_RDWR);
    const Aligned block(8192, 'd');
    std::ostringstream text;
    text << digest(read_fd(buffered.get())) << '\n';
    text << pwrite(direct.get(), block.bytes, 8192, 4096) << '\n';
    text << digest(read_fd(buffered.get())) << '\n';
    text << pwrite(buffered.get(), "buffered", 8, 10000) << '\n';
    text << pread(direct.get(), block.bytes, 8192, 8192) << ' ';
    text << digest(std::string(block.bytes, 8192)) << '\n';
    text << pwrite(direct.get(), block.bytes, 8192, 65536) << '\n';
    struct stat st = {};
    fstat(buffered.get(), &st);
    text << st.st_size << ' ' << digest(read_fd(buffered.get())) << '\n';
    text << pread(direct.get(), block.bytes, 8192, 73728) << '\n';
    return text.str();
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(OpenFiles, AreReadAgainAsLongAsTheyAreByThen) {
  const auto prepare = [](const std::string& dir) {
    write_file(dir + "/f", std::string(300'000, 'l'));
  };
  const auto story = [](const std::string& dir) {
    const base::Fd fd = open_at(dir + "/f", O_RDWR);
    std::ostringstream text;
    text << digest(read_fd(fd.get())) << '\n';
    for (const off_t size : {393'216, 393'000, 150'000, 149'999, 40'000, 500'000}) {
      text << outcome(ftruncate(fd.get(), size)) << ' ';
      text << pwrite(fd.get(), "end", 3, size - 3) << ' ';
      fsync(fd.get());
      posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
      text << digest(read_fd(fd.get())) << '\n';
    }
    return text.str();
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(DirectIo, SeesAMapsWrites) {
  OverlayMount m;
  m.mount();
  write_file(m.at("f"), std::string(8192, 'a'));
  const base::Fd direct = open_at(m.at("f"), O_RDWR | O_DIRECT);
  auto* map =
      static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, direct.get(), 0));
  ASSERT_NE(map, MAP_FAILED);
  map[0] = 'M';
  const Aligned block(4096);
  EXPECT_EQ(pread(direct.get(), block.bytes, 4096, 0), 4096);
  EXPECT_EQ(block.bytes[0], 'M');
  munmap(map, 8192);
}

TEST(Allocation, FallocatePunchAndZero) {
  const auto prepare = [](const std::string& dir) {
    write_file(dir + "/f", std::string(40960, 'x'));
    write_file(dir + "/ro", "text", 0444);
  };
  const auto story = [](const std::string& dir) {
    const base::Fd fd = open_at(dir + "/f", O_RDWR);
    std::ostringstream text;
    const std::pair<int, const char*> ways[] = {
        {0, "allocate"},      {1, "keep size"},  {3, "punch"},
        {16, "zero"},         {17, "zero keep"}, {2, "punch without keep size"},
        {1 << 20, "unknown"},
    };
    off_t from = 4096;
    for (const auto& [mode, name] : ways) {
      text << name << ' ' << outcome(fallocate(fd.get(), mode, from, 8192)) << ' ';
      text << digest(read_fd(fd.get())) << '\n';
      from += 8192;
    }
    text << outcome(fallocate(fd.get(), 0, 100000, 5000)) << ' ' << digest(read_fd(fd.get()));
    text << ' ' << outcome(fallocate(fd.get(), 0, 0, 0));
    const base::Fd reader = open_at(dir + "/f", O_RDONLY);
    text << ' ' << outcome(fallocate(reader.get(), 0, 0, 10)) << '\n';
    return text.str();
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

/// A file made read-only, as cp -p makes it, is still written by the descriptor that made it.
TEST(Allocation, ByADescriptorOfAReadOnlyFile) {
  OverlayMount m;
  m.mount();
  chmod(m.merged().c_str(), 01777);
  const std::string told = run_as(1000, 1000, {}, [&] {
    const base::Fd fd = open_at(m.at("f"), O_CREAT | O_EXCL | O_RDWR, 0444);
    const base::Fd from = open_at("/etc/passwd", O_RDONLY);
    std::string text = outcome(fallocate(fd.get(), 0, 0, 100));
    text += " " + outcome(pwrite(fd.get(), "x", 1, 0));
    text += " " + outcome(ftruncate(fd.get(), 50));
    text += " " + outcome(copy_file_range(fd.get(), nullptr, fd.get(), nullptr, 0, 0));
    text += " " + outcome(fsync(fd.get()));
    return text;
  });
  EXPECT_EQ(told, "ok ok ok ok ok");
}

TEST(CopyRange, InsideAFileAndBetweenLayers) {
  const auto prepare = [](const std::string& dir) {
    std::string text;
    for (int i = 0; i < 30000; ++i) text += std::to_string(i);
    write_file(dir + "/from", text);
    write_file(dir + "/to", "short");
  };
  const auto story = [](const std::string& dir) {
    const base::Fd from = open_at(dir + "/from", O_RDWR);
    const base::Fd to = open_at(dir + "/to", O_RDWR);
    std::ostringstream text;
    loff_t in = 1000, out = 7;
    while (copy_file_range(from.get(), &in, to.get(), &out, 100000, 0) > 0) {
      if (in >= 101000) break;
    }
    text << in << ' ' << out << ' ' << digest(read_fd(to.get())) << '\n';
    in = 0, out = 50000;
    text << copy_file_range(from.get(), &in, from.get(), &out, 4096, 0) << ' ';
    text << digest(read_fd(from.get())) << '\n';
    in = 0, out = 10;
    text << outcome(copy_file_range(from.get(), &in, from.get(), &out, 4096, 0)) << '\n';
    const base::Fd reader = open_at(dir + "/to", O_RDONLY);
    text << outcome(copy_file_range(from.get(), &in, reader.get(), &out, 10, 0)) << '\n';
    return text.str();
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Append, ByTwoDescriptorsNeverOverwrites) {
  OverlayMount m;
  write_file(m.lower() + "/log", "0\n");
  m.mount();
  base::Fd one = open_at(m.at("log"), O_WRONLY | O_APPEND);
  base::Fd two = open_at(m.at("log"), O_WRONLY | O_APPEND);
  std::string expected = "0\n";
  for (int i = 1; i < 500; ++i) {
    const std::string line = std::to_string(i) + "\n";
    ASSERT_EQ(write((i % 2 == 0 ? one : two).get(), line.data(), line.size()),
              static_cast<ssize_t>(line.size()));
    expected += line;
  }
  EXPECT_EQ(read_file(m.at("log")), expected);
  one.reset();
  two.reset();
  m.remount();
  EXPECT_EQ(read_file(m.at("log")), expected);
}

TEST(Append, PositionedWriteOnAnAppendDescriptorIsAsOnDisk) {
  const auto prepare = [](const std::string& dir) { write_file(dir + "/f", "0123456789"); };
  const auto story = [](const std::string& dir) {
    const base::Fd fd = open_at(dir + "/f", O_RDWR | O_APPEND);
    std::ostringstream text;
    text << pwrite(fd.get(), "AB", 2, 0) << ' ' << lseek(fd.get(), 0, SEEK_CUR) << ' ';
    text << write(fd.get(), "CD", 2) << ' ' << lseek(fd.get(), 0, SEEK_CUR) << ' ';
    text << read_fd(fd.get());
    return text.str();
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Write, OfManySmallPiecesArrives) {
  OverlayMount m;
  m.mount();
  std::string expected;
  {
    const base::Fd fd = open_at(m.at("f"), O_CREAT | O_WRONLY);
    for (int i = 0; i < 20000; ++i) {
      const std::string piece = std::string(1 + i % 97, static_cast<char>('a' + i % 26));
      ASSERT_EQ(write(fd.get(), piece.data(), piece.size()), static_cast<ssize_t>(piece.size()));
      expected += piece;
    }
  }
  EXPECT_EQ(digest(read_file(m.at("f"))), digest(expected));
  m.unmount();
  EXPECT_EQ(digest(read_file(m.upper() + "/f")), digest(expected));
}

TEST(Write, WriteOnlyDescriptorInTheMiddleOfAPage) {
  OverlayMount m;
  write_file(m.lower() + "/f", std::string(10000, 'l'));
  chmod((m.lower() + "/f").c_str(), 0222);
  own(m.lower() + "/f", 1000, 1000);
  m.mount();
  const std::string told = run_as(1000, 1000, {}, [&] {
    const base::Fd fd = open_at(m.at("f"), O_WRONLY);
    return outcome(pwrite(fd.get(), "UP", 2, 5000));
  });
  EXPECT_EQ(told, "ok");
  m.unmount();
  std::string expected(10000, 'l');
  expected.replace(5000, 2, "UP");
  EXPECT_EQ(read_file(m.upper() + "/f"), expected);
}

TEST(Times, OfWritesAndReadsMoveAsOnDisk) {
  const auto prepare = [](const std::string& dir) { write_file(dir + "/f", "text"); };
  const auto story = [](const std::string& dir) {
    const timespec old[2] = {{1000, 5}, {2000, 7}};
    const std::string path = dir + "/f";
    std::ostringstream text;
    text << outcome(utimensat(AT_FDCWD, path.c_str(), old, 0)) << ' ';
    text << stat_of(path).st_mtim.tv_sec << '.' << stat_of(path).st_mtim.tv_nsec << ' ';
    text << stat_of(path).st_atim.tv_sec << '\n';
    append_file(path, "x");
    text << (stat_of(path).st_mtim.tv_sec > 1000000) << '\n';
    utimensat(AT_FDCWD, path.c_str(), old, 0);
    chmod(path.c_str(), 0600);
    text << stat_of(path).st_mtim.tv_sec << ' ' << (stat_of(path).st_ctim.tv_sec > 1000000) << '\n';
    const timespec far[2] = {{-5, 0}, {4000000000, 999999999}};
    text << outcome(utimensat(AT_FDCWD, path.c_str(), far, 0)) << ' ';
    text << stat_of(path).st_atim.tv_sec << ' ' << stat_of(path).st_mtim.tv_sec << '\n';
    return text.str();
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Times, WrittenBackTimeIsKeptAfterRemount) {
  OverlayMount m;
  m.mount();
  write_file(m.at("f"), "text");
  const struct stat before = stat_of(m.at("f"));
  m.remount();
  EXPECT_EQ(stat_of(m.at("f")).st_mtim.tv_sec, before.st_mtim.tv_sec);
  EXPECT_EQ(stat_of(m.at("f")).st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

/// With no name left, with another name, and before the first name.
TEST(Times, OfAFileThatIsNamedElsewhereOrNowhere) {
  const auto prepare = [](const std::string& dir) { write_file(dir + "/f", "text"); };
  const auto story = [](const std::string& dir) {
    const timespec modified[2] = {{0, UTIME_OMIT}, {2000, 7}}, both[2] = {{1000, 5}, {3000, 9}};
    std::ostringstream text;
    const auto times = [&](const struct stat& st) {
      text << st.st_nlink << ' ' << st.st_mtim.tv_sec << '.' << st.st_mtim.tv_nsec << '\n';
    };
    const auto change = [&](int fd) {
      struct stat st {};
      text << outcome(pwrite(fd, "more", 4, 4)) << outcome(futimens(fd, both)) << ' ';
      fstat(fd, &st);
      text << st.st_atim.tv_sec << ' ';
      times(st);
      text << outcome(futimens(fd, modified)) << ' ';
      fstat(fd, &st);
      times(st);
    };
    write_file(dir + "/n", "text");
    link((dir + "/n").c_str(), (dir + "/also").c_str());
    for (const char* name : {"/f", "/n"}) {
      const base::Fd fd = open_at(dir + name, O_RDWR);
      text << outcome(unlink((dir + name).c_str())) << ' ';
      change(fd.get());
    }
    base::Fd nameless = open_at(dir, O_TMPFILE | O_RDWR);
    change(nameless.get());
    const std::string from = "/proc/self/fd/" + std::to_string(nameless.get());
    text << outcome(
        linkat(AT_FDCWD, from.c_str(), AT_FDCWD, (dir + "/t").c_str(), AT_SYMLINK_FOLLOW));
    nameless.reset();
    write_file("/proc/sys/vm/drop_caches", "2");
    for (const char* name : {"/also", "/t"}) times(stat_of(dir + name));
    return text.str();
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Locks, FlockExcludesAnotherProcess) {
  OverlayMount m;
  write_file(m.lower() + "/f", "x");
  m.mount();
  const base::Fd mine = open_at(m.at("f"), O_RDWR);
  EXPECT_EQ(outcome(flock(mine.get(), LOCK_EX | LOCK_NB)), "ok");
  const auto other = [&] {
    const base::Fd fd = open_at(m.at("f"), O_RDWR);
    return outcome(flock(fd.get(), LOCK_EX | LOCK_NB));
  };
  EXPECT_EQ(run_as(0, 0, {}, other), "EAGAIN");
  EXPECT_EQ(outcome(flock(mine.get(), LOCK_UN)), "ok");
  EXPECT_EQ(run_as(0, 0, {}, other), "ok");
}

TEST(Locks, PosixAndOfdRangesExcludeEachOther) {
  OverlayMount m;
  write_file(m.lower() + "/f", "0123456789");
  m.mount();
  const base::Fd mine = open_at(m.at("f"), O_RDWR);
  struct flock range = {
      .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 5, .l_pid = 0};
  EXPECT_EQ(outcome(fcntl(mine.get(), F_OFD_SETLK, &range)), "ok");
  const auto other = [&](int command, off_t start) {
    return run_as(0, 0, {}, [&] {
      const base::Fd fd = open_at(m.at("f"), O_RDWR);
      struct flock wish = {
          .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = 2, .l_pid = 0};
      return outcome(fcntl(fd.get(), command, &wish));
    });
  };
  EXPECT_EQ(other(F_OFD_SETLK, 0), "EAGAIN");
  EXPECT_EQ(other(F_SETLK, 4), "EAGAIN");
  EXPECT_EQ(other(F_SETLK, 5), "ok");
  range.l_type = F_UNLCK;
  EXPECT_EQ(outcome(fcntl(mine.get(), F_OFD_SETLK, &range)), "ok");
  EXPECT_EQ(other(F_SETLK, 4), "ok");
}

}  // namespace
}  // namespace kernel_test
