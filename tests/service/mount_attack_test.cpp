// What a client may hand over instead of a mount: refused, and nothing stays open.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "daemon/mount_request.hpp"
#include "tests/daemon/rig.hpp"
#include "tests/kernel/fixture.hpp"

namespace {

using daemon_test::Daemon;
using serving::Client;
using serving::Json;
using testing::HasSubstr;

class MountAttack : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"/lower", "/upper", "/work", "/merged"})
      kernel_test::make_dir(tree_.path() + name);
    kernel_test::make_link("/etc", tree_.path() + "/link");
    kernel_test::write_file(tree_.path() + "/file", "text");
    ::mkfifo((tree_.path() + "/fifo").c_str(), 0600);
    device_ = base::Fd(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    ASSERT_TRUE(device_.valid());
    before_ = daemon_.settled_descriptors();
  }
  void TearDown() override {
    ::umount2(merged().c_str(), MNT_DETACH);
    device_.reset();
    EXPECT_TRUE(Client::connect(daemon_.socket())) << "it does not serve any more";
    EXPECT_EQ(daemon_.settled_descriptors(), before_);
  }
  std::string merged() const { return tree_.path() + "/merged"; }
  base::Fd path(const std::string& name) {
    base::Fd fd(::open((tree_.path() + name).c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    EXPECT_TRUE(fd.valid()) << name;
    return fd;
  }
  void mount_device() {
    std::string options =
        "fd=" + std::to_string(device_.get()) + ",rootmode=40000,user_id=0,group_id=0";
    ASSERT_EQ(::mount("attack", merged().c_str(), "fuse", 0, options.c_str()), 0)
        << strerror(errno);
  }
  /// What the daemon answers to these: "" if it serves.
  std::string ask(std::vector<int> fds, std::size_t count) {
    auto client = Client::connect(daemon_.socket());
    if (!client) return client.error().message;
    Json request = {{"verb", "mount"}, {"fds", count}};
    request["arguments"] = {"-o", "lowerdir=/l,upperdir=/u,workdir=/w", merged()};
    auto answer = client->call(std::move(request), fds);
    return answer ? "" : answer.error().message;
  }
  std::string ask(std::vector<int> fds) {
    std::size_t count = fds.size();
    return ask(std::move(fds), count);
  }
  kernel_test::TempTree tree_;
  Daemon daemon_;
  base::Fd device_;
  std::size_t before_ = 0;
};

TEST_F(MountAttack, TooFewAndTooMany) {
  mount_device();
  base::Fd upper = path("/upper"), work = path("/work"), lower = path("/lower");
  int d = device_.get(), u = upper.get(), w = work.get(), l = lower.get();
  EXPECT_THAT(ask({}), HasSubstr("descriptors have come"));
  EXPECT_THAT(ask({d, u, w}), HasSubstr("2 descriptors of layers for 3"));
  EXPECT_THAT(ask({d, u, w, l, l}), HasSubstr("4 descriptors of layers for 3"));
  EXPECT_THAT(ask({d, u, w, l}, 5), HasSubstr("descriptors have come"));
  EXPECT_EQ(ask({d, u, w, l}), "");
}

TEST_F(MountAttack, WhatIsNoDevice) {
  base::Fd upper = path("/upper"), work = path("/work"), lower = path("/lower");
  int u = upper.get(), w = work.get(), l = lower.get();
  for (const char* other : {"/dev/null", "/dev/zero", "/proc/self/status"}) {
    base::Fd fd(::open(other, O_RDONLY | O_CLOEXEC));
    EXPECT_THAT(ask({fd.get(), u, w, l}), HasSubstr("is not /dev/fuse")) << other;
  }
  base::Fd only_path(::open("/dev/fuse", O_PATH | O_CLOEXEC));
  EXPECT_THAT(ask({only_path.get(), u, w, l}), HasSubstr("is not /dev/fuse"));
}

TEST_F(MountAttack, ADeviceThatNothingIsMountedWith) {
  base::Fd upper = path("/upper"), work = path("/work"), lower = path("/lower");
  int u = upper.get(), w = work.get(), l = lower.get();
  EXPECT_THAT(ask({device_.get(), u, w, l}), HasSubstr("/dev/fuse"));
  // Whoever polls this one waits for a mount, O_NONBLOCK or not (Linux 6.18).
  base::Fd trap(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  (void)::ioctl(trap.get(), _IO(229, 3));
  EXPECT_THAT(ask({trap.get(), u, w, l}), HasSubstr("/dev/fuse"));
}

TEST_F(MountAttack, OneDeviceTwice) {
  mount_device();
  base::Fd upper = path("/upper"), work = path("/work"), lower = path("/lower");
  std::vector<int> fds = {device_.get(), upper.get(), work.get(), lower.get()};
  EXPECT_EQ(ask(fds), "");
  EXPECT_THAT(ask(fds), HasSubstr("served already"));
}

TEST_F(MountAttack, LayersThatAreNoDirectories) {
  mount_device();
  base::Fd upper = path("/upper"), work = path("/work"), lower = path("/lower");
  int d = device_.get(), u = upper.get(), w = work.get(), l = lower.get();
  for (const char* name : {"/link", "/file", "/fifo"}) {
    base::Fd bad = path(name);
    EXPECT_THAT(ask({d, u, w, bad.get()}), HasSubstr("lowerdir /l: is not a directory")) << name;
    EXPECT_THAT(ask({d, bad.get(), w, l}), HasSubstr("upperdir /u: is not a directory")) << name;
    EXPECT_THAT(ask({d, u, bad.get(), l}), HasSubstr("workdir /w: is not a directory")) << name;
  }
  base::Fd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  EXPECT_THAT(ask({d, u, w, zero.get()}), HasSubstr("is not a directory"));
  EXPECT_THAT(ask({d, u, w, d}), HasSubstr("is not a directory"));
}

TEST_F(MountAttack, LayersThatDoNotFit) {
  mount_device();
  base::Fd upper = path("/upper"), work = path("/work"), lower = path("/lower");
  base::Fd elsewhere(::open("/dev/shm", O_PATH | O_CLOEXEC));
  int d = device_.get(), u = upper.get(), w = work.get(), l = lower.get();
  EXPECT_THAT(ask({d, u, u, l}), HasSubstr("must not be the upperdir itself"));
  EXPECT_THAT(ask({d, u, elsewhere.get(), l}), HasSubstr("same file system"));
  EXPECT_THAT(ask({d, u, w, u}), HasSubstr("is the same directory"));
}

TEST_F(MountAttack, ArgumentsThatAreNone) {
  auto client = Client::connect(daemon_.socket());
  ASSERT_TRUE(client);
  for (Json arguments : {Json(), Json(7), Json{1, 2}, Json::array(), Json{"--help"},
                         Json{"-o", "lowerdir=/l"}, Json{"-o"}}) {
    auto answer = client->call({{"verb", "mount"}, {"arguments", arguments}, {"fds", 1}});
    EXPECT_FALSE(answer) << arguments;
  }
  for (Json settings : {Json{{"overlay.opaque", "sideways"}}, Json{{"fuse.max_write", 7}}}) {
    Json request = {{"verb", "mount"}, {"settings", settings}, {"fds", 0}};
    request["arguments"] = {"-o", "lowerdir=/l", "/m"};
    EXPECT_FALSE(client->call(request)) << settings;
  }
}

}  // namespace
