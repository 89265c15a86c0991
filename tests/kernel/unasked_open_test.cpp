// Files that the kernel opens without asking: it names the node alone, and tells no end.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/kernel/fixture.hpp"
#include "tests/kernel/takeover_rig.hpp"

namespace kernel_test {
namespace {

long descriptors_of(pid_t pid) {
  const std::string names = names_in("/proc/" + std::to_string(pid) + "/fd");
  return std::count(names.begin(), names.end(), ' ') + 1;
}

/// In turn and again, read-only and for writing, more of them than are kept open for the kernel.
TEST(UnaskedOpen, OfMore) {
  constexpr int kMany = 200;
  const auto prepare = [](const std::string& dir) {
    for (int i = 0; i < kMany; ++i)
      write_file(dir + "/f" + std::to_string(i), "text " + std::to_string(i));
  };
  const auto story = [](const std::string& dir) {
    std::vector<base::Fd> files;
    std::string text;
    for (int i = 0; i < kMany; ++i)
      files.push_back(open_at(dir + "/f" + std::to_string(i), i % 2 ? O_RDWR : O_RDONLY));
    for (int round = 0; round < 2; ++round)
      for (int i = 0; i < kMany; ++i) {
        posix_fadvise(files[i].get(), 0, 0, POSIX_FADV_DONTNEED);
        text += read_fd(files[i].get());
        if (i % 2) text += outcome(pwrite(files[i].get(), "more", 4, 2));
        if (i % 2) text += outcome(fsync(files[i].get()));
        if (i % 3 == round) text += outcome(unlink((dir + "/f" + std::to_string(i)).c_str()));
      }
    struct stat st {};
    for (const base::Fd& file : files)
      text += outcome(fstat(file.get(), &st)) + read_fd(file.get());
    return text + names_in(dir);
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

/// A mode that nobody could open it with any more does not stop who has it open.
TEST(UnaskedOpen, BeforeTheModeForbidsIt) {
  OverlayMount m;
  m.mount();
  write_file(m.at("f"), "text");
  m.remount();
  base::Fd fd = open_at(m.at("f"), O_RDWR);
  EXPECT_EQ(outcome(pwrite(fd.get(), "more", 4, 4)), "ok");
  EXPECT_EQ(outcome(chmod(m.at("f").c_str(), 0)), "ok");
  fd.reset();
  m.remount();
  EXPECT_EQ(read_file(m.at("f")), "textmore");
}

/// Whose server may hang, or who may change behind us, is asked at the open.
TEST(UnaskedOpen, NotOfALayerThatSomebodyServes) {
  OverlayMount served;
  write_file(served.lower() + "/f", "text");
  served.mount();
  OverlayMount m(Layout{.lower_paths = {served.merged()}});
  m.mount();
  const base::Fd fd = open_at(m.at("f"), O_RDONLY);
  EXPECT_EQ(outcome(unlink(served.at("f").c_str())), "ok");
  EXPECT_EQ(read_fd(fd.get()), "text");
}

/// Nobody has open what the kernel has forgotten.
TEST(UnaskedOpen, EndsWithTheNode) {
  OverlayMount m;
  for (int i = 0; i < 40; ++i) write_file(m.lower() + "/f" + std::to_string(i), "text");
  m.mount();
  const long before = descriptors_of(m.daemon());
  for (int i = 0; i < 40; ++i) EXPECT_EQ(read_file(m.at("f" + std::to_string(i))), "text");
  EXPECT_GE(descriptors_of(m.daemon()), before + 40);
  write_file("/proc/sys/vm/drop_caches", "2");
  for (int i = 0; i < 500 && descriptors_of(m.daemon()) > before + 2; ++i) usleep(10'000);
  EXPECT_LE(descriptors_of(m.daemon()), before + 2);
}

/// The upper file takes the lower one's place for who has read that already.
TEST(UnaskedOpen, SeesTheCopyUp) {
  const auto prepare = [](const std::string& dir) { write_file(dir + "/f", "text"); };
  const auto story = [](const std::string& dir) {
    const base::Fd reader = open_at(dir + "/f", O_RDONLY), writer = open_at(dir + "/f", O_RDWR);
    std::string text = read_fd(reader.get());
    text += outcome(pwrite(writer.get(), "more", 4, 2)) + outcome(fsync(writer.get()));
    posix_fadvise(reader.get(), 0, 0, POSIX_FADV_DONTNEED);
    text += read_fd(reader.get()) + outcome(pwrite(reader.get(), "x", 1, 0));
    return text;
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

/// Neither file has been read or written when it loses its name and the daemon dies.
TEST(UnaskedOpen, OfAFileWithoutANameOutlivesACrash) {
  TakeoverMount mount([](const std::string& lower) { write_file(lower + "/below", "eff!"); }, 60);
  write_file(mount.at("above"), "gee!");
  base::Fd below = open_at(mount.at("below"), O_RDONLY);
  base::Fd above = open_at(mount.at("above"), O_RDWR);
  EXPECT_EQ(outcome(unlink(mount.at("below").c_str())), "ok");
  EXPECT_EQ(outcome(unlink(mount.at("above").c_str())), "ok");
  mount.kill_now();
  EXPECT_EQ(read_fd(below.get()) + read_fd(above.get()), "eff!gee!");
  EXPECT_EQ(outcome(pwrite(above.get(), "more", 4, 4)) + outcome(fsync(above.get())), "okok");
  mount.kill_now();
  posix_fadvise(above.get(), 0, 0, POSIX_FADV_DONTNEED);
  EXPECT_EQ(read_fd(above.get()), "gee!more");
  below.reset();
  above.reset();
  EXPECT_EQ(mount.end(), 0);
}

}  // namespace
}  // namespace kernel_test
