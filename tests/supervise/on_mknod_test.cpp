// What a mount of ours makes of a device is in tests/e2e/44-devices.sh; here is what happens where
// there is none, and where the path leads elsewhere while we look.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/capability.h>

#include "tests/supervise/supervised.hpp"

namespace {

using seccomp::Profile;
using supervised::in_child;
using supervised::run;
using supervised::Task;

// Mounts that answer as they are told to.
class Fake final : public seccomp::DeviceSource {
 public:
  explicit Fake(bool ours) : ours_(ours) {}
  std::string question() override { return "user.where"; }
  bool wish(const std::string&, const std::string& name, const identity::Device& device) override {
    return ours_ && name == "d" && device == identity::Device{identity::NodeType::chr, 1, 0x12345};
  }
  bool granted(const std::string&) const override { return false; }
  void forget(const std::string&) override {}

 private:
  bool ours_;
};

class OnMknod : public supervised::Everywhere {
 protected:
  auto with(seccomp::DeviceSource& devices) const {
    auto setup = options(Profile::basic);
    setup.devices = &devices;
    return setup;
  }
};
INSTANTIATE_TEST_SUITE_P(All, OnMknod, supervised::everywhere(), supervised::name_of);

constexpr unsigned kDevice = 1 << 8 | 0x45 | 0x123 << 20;  // 1:0x12345

int make(const char* path, unsigned mode, unsigned device) {
  const long by_name = ::syscall(SYS_mknod, path, mode, device);
  const int error = errno;
  const long by_directory = ::syscall(SYS_mknodat, AT_FDCWD, path, mode, device);
  return by_name < 0 && by_directory < 0 && errno == error ? error : 0;
}

TEST_P(OnMknod, TheKernelsAnswerWhereNoMountIsOurs) {
  Fake none(false);
  EXPECT_EQ(run(with(none),
                [](Task& task) {
                  task.same("device", EPERM, make("/tmp/d", S_IFCHR | 0600, kDevice));
                  task.same("block", EPERM, make("/tmp/d", S_IFBLK | 0600, kDevice));
                  task.same("in no directory", ENOENT, make("/tmp/x/d", S_IFCHR | 0600, kDevice));
                  task.same("without a name", EEXIST, make("/", S_IFCHR | 0600, kDevice));
                  task.same("bad pointer", EFAULT,
                            make(reinterpret_cast<const char*>(8), S_IFCHR | 0600, kDevice));
                  struct stat st {};
                  task.same("nothing is left", -1, ::lstat("/tmp/d", &st));
                  task.same("a whiteout", 0, ::mknod("/tmp/w", S_IFCHR, 0));
                  task.same("a fifo", 0, ::mknod("/tmp/p", S_IFIFO | 0600, 0));
                  task.same("a file", 0, ::mknod("/tmp/f", S_IFREG | 0600, 0));
                }),
            "");
}

TEST_P(OnMknod, APathThatLeadsElsewhereMakesNoDevice) {
  Fake all(true);
  EXPECT_EQ(run(with(all),
                [](Task& task) {
                  task.same("device", -1, ::syscall(SYS_mknod, "/tmp/d", S_IFCHR | 0600, kDevice));
                  task.same("why", EPERM, errno);
                  struct stat st {};
                  task.same("what is there", 0, ::lstat("/tmp/d", &st));
                  task.is_true("is a file", S_ISREG(st.st_mode));
                }),
            "");
}

TEST_P(OnMknod, WithoutTheCapabilityNobodyIsAsked) {
  Fake all(true);
  EXPECT_EQ(run(with(all),
                [](Task& task) {
                  in_child(task, [&] {
                    task.same("setuid", 0, ::syscall(SYS_setuid, 70000));
                    task.same("device", EPERM, make("/tmp/d", S_IFCHR | 0600, kDevice));
                    struct stat st {};
                    task.same("nothing is left", -1, ::lstat("/tmp/d", &st));
                  });
                }),
            "");
}

}  // namespace
