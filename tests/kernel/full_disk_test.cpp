// A full disk: ENOSPC where it happened, nothing lost that was there, and life goes on after room
// has been made.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/statvfs.h>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

enum class Disk { tmpfs, ext4 };

class FullDisk : public testing::TestWithParam<Disk> {
 protected:
  /// Upper and work on a small file system of their own, a big file in the lower.
  void SetUp() override {
    make_dir(small());
    const std::string made =
        GetParam() == Disk::tmpfs ? m.add_tmpfs(small(), 4096) : m.add_ext4(small(), 12);
    ASSERT_EQ(made, "ok");
    make_dir(small() + "/upper");
    make_dir(small() + "/work");
    write_file(m.lower() + "/big", big);
    write_file(m.lower() + "/little", "little");
  }
  std::string small() const { return m.root() + "/small"; }
  Layout layout() {
    return {.lowers = 0,
            .lower_paths = {m.lower()},
            .upper_path = small() + "/upper",
            .work_path = small() + "/work"};
  }
  /// Room that is left on the small file system, in kB.
  unsigned long room() const {
    struct statvfs fs = {};
    statvfs(small().c_str(), &fs);
    return fs.f_bavail * fs.f_frsize / 1024;
  }
  OverlayMount m;
  const std::string big = std::string(20 << 20, 'b');
};

/// Where the error shows depends on the cache: in write, fsync or close.
std::string write_and_sync(const std::string& path, const std::string& text) {
  const base::Fd fd = open_at(path, O_CREAT | O_TRUNC | O_WRONLY);
  if (!fd.valid()) return outcome(fd);
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = write(fd.get(), text.data() + done, text.size() - done);
    if (count <= 0) return outcome(-1);
    done += static_cast<size_t>(count);
  }
  return outcome(fsync(fd.get()));
}

TEST_P(FullDisk, WriteAnswersAndWhatWasThereStays) {
  OverlayMount over(layout());
  over.mount();
  EXPECT_EQ(write_and_sync(over.at("kept"), "kept"), "ok");
  EXPECT_EQ(own(over.at("kept"), 60000, 60000), "ok");
  EXPECT_EQ(write_and_sync(over.at("huge"), big), "ENOSPC");
  EXPECT_EQ(read_file(over.at("kept")), "kept");
  EXPECT_EQ(owner_of(over.at("kept")), "60000:60000");
  EXPECT_EQ(read_file(over.at("little")), "little");
  EXPECT_EQ(outcome(unlink(over.at("huge").c_str())), "ok");
  // The kernel sends the last close of a file by itself: the room is there soon, not at once.
  std::string again = write_and_sync(over.at("again"), "again");
  for (int i = 0; i < 100 && again == "ENOSPC"; ++i) {
    usleep(20000);
    again = write_and_sync(over.at("again"), "again");
  }
  EXPECT_EQ(again, "ok");
  over.remount();
  EXPECT_EQ(read_file(over.at("kept")) + read_file(over.at("again")), "keptagain");
  EXPECT_EQ(names_in(over.merged()), "again big kept little");
}

/// A copy-up by the first write, which is answered where the kernel writes back.
std::string rewrite_first_byte(const std::string& path, const std::string& text) {
  const base::Fd fd = open_at(path, O_RDWR);
  if (!fd.valid()) return outcome(fd);
  if (pwrite(fd.get(), text.data(), 1, 0) != 1) return outcome(-1);
  return outcome(fsync(fd.get()));
}

TEST_P(FullDisk, CopyUpAnswersAndLeavesNothingBehind) {
  OverlayMount over(layout());
  over.mount();
  const unsigned long before = room();
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(outcome(chmod(over.at("big").c_str(), 0600)), "ENOSPC");
    EXPECT_EQ(rewrite_first_byte(over.at("big"), big), "ENOSPC");
    EXPECT_EQ(outcome(rename(over.at("big").c_str(), over.at("moved").c_str())), "ENOSPC");
  }
  EXPECT_TRUE(read_file(over.at("big")) == big);
  EXPECT_EQ(mode_of(over.at("big")), "0644");
  EXPECT_EQ(names_in(over.upper()), "");
  EXPECT_GT(room() + 200, before) << "rests of the failed copies";
  EXPECT_EQ(outcome(open_at(over.at("big"), O_WRONLY | O_TRUNC)), "ok") << "needs no room";
  EXPECT_EQ(stat_of(over.at("big")).st_size, 0);
}

/// Not a block is left: deletion must still work where the form of the whiteout allows it.
TEST_P(FullDisk, ToTheLastBlock) {
  OverlayMount over(layout());
  over.mount();
  write_and_sync(over.at("file"), "x");
  write_and_sync(over.at("fill"), big);
  for (int i = 0; i < 5000; ++i) {
    if (write_and_sync(over.at("n" + std::to_string(i)), std::string(5000, 'x')) != "ok") break;
  }
  const std::string made = make_dir(over.at("dir"));
  EXPECT_TRUE(made == "ok" || made == "ENOSPC") << made;
  const std::string gone = outcome(unlink(over.at("little").c_str()));
  EXPECT_TRUE(gone == "ok" || gone == "ENOSPC") << gone;
  EXPECT_EQ(read_file(over.at("little")), gone == "ok" ? "<ENOENT>" : "little");
  EXPECT_EQ(outcome(unlink(over.at("fill").c_str())), "ok");
  EXPECT_EQ(outcome(unlink(over.at("file").c_str())), "ok");
  EXPECT_EQ(write_and_sync(over.at("new"), "new"), "ok");
  over.remount();
  EXPECT_EQ(read_file(over.at("new")), "new");
  EXPECT_EQ(read_file(over.at("little")), gone == "ok" ? "<ENOENT>" : "little");
}

INSTANTIATE_TEST_SUITE_P(Disks, FullDisk, testing::Values(Disk::tmpfs, Disk::ext4),
                         [](const auto& value) {
                           return std::string(value.param == Disk::tmpfs ? "Tmpfs" : "Ext4");
                         });

}  // namespace
}  // namespace kernel_test
