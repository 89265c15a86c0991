// What a ledger costs for each inode, and how quick a successor of many is.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "tests/kernel/takeover_rig.hpp"

namespace kernel_test {
namespace {

long resident_bytes(pid_t pid) {
  std::ifstream statm("/proc/" + std::to_string(pid) + "/statm");
  long total = 0, resident = 0;
  statm >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

/// With a ledger, too, an inode costs no more than 300 bytes; and a successor of many is quick.
TEST(Takeover, OfManyNodes) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "a sanitizer's shadow is not ours";
#endif
  constexpr int kDirs = 80, kFiles = 500;
  TakeoverMount mount([](const std::string& lower) {
    for (int d = 0; d < kDirs; ++d) {
      const std::string dir = lower + "/d" + std::to_string(d);
      make_dir(dir);
      for (int f = 0; f < kFiles; ++f) write_file(dir + "/file" + std::to_string(f), "");
    }
  });
  const auto walk = [&](int from, int to) {
    for (int d = from; d < to; ++d)
      for (int f = 0; f < kFiles; ++f)
        stat_of(mount.at("d" + std::to_string(d) + "/file" + std::to_string(f)));
  };
  walk(0, 2);
  const long few = resident_bytes(mount.shared().server);
  walk(2, kDirs);
  const long all = resident_bytes(mount.shared().server);
  const long each = (all - few) / ((kDirs - 2) * kFiles);
  EXPECT_LE(each, 300);
  mount.kill_now();
  EXPECT_GE(mount.shared().nodes, kDirs * kFiles);
  std::printf("%ld bytes an inode; take-over of %ld nodes: %ld us\n", each,
              mount.shared().nodes.load(), mount.shared().longest_stall_us.load());
  EXPECT_LE(mount.shared().longest_stall_us, 200000);
  walk(0, kDirs);
  EXPECT_EQ(kind_of(mount.at("d7/file7")), "file");
  EXPECT_EQ(mount.end(), 0);
}

}  // namespace
}  // namespace kernel_test
