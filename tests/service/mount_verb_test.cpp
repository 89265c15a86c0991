#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "daemon/mount_request.hpp"
#include "tests/daemon/rig.hpp"
#include "tests/kernel/fixture.hpp"

namespace {

using daemon_test::Daemon;
using kernel_test::Layout;
using kernel_test::OverlayMount;
using serving::Client;
using serving::Json;
using testing::HasSubstr;

/// A mount whose XDG_RUNTIME_DIR is the daemon's.
class Joining : public OverlayMount {
 public:
  explicit Joining(const Daemon& daemon, Layout layout = {}) : OverlayMount(std::move(layout)) {
    know_child(daemon.pid());
    ::setenv("XDG_RUNTIME_DIR", daemon.root().c_str(), 1);
  }
  ~Joining() { ::unsetenv("XDG_RUNTIME_DIR"); }
};

/// Descriptors in the daemon once it has seen all that was said before.
std::size_t settled_descriptors(const Daemon& daemon) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Client::connect(daemon.socket()));
    ::usleep(20000);
  }
  return daemon.descriptors();
}

TEST(MountVerb, AClientMountsAndLeaves) {
  Daemon daemon;
  std::size_t before = settled_descriptors(daemon);
  {
    Joining m(daemon);
    kernel_test::write_file(m.lower() + "/low", "from below");
    m.mount();
    EXPECT_EQ(m.daemon(), -1) << "a process of its own serves it";
    EXPECT_EQ(kernel_test::read_file(m.at("low")), "from below");
    kernel_test::write_file(m.at("new"), "text");
    EXPECT_EQ(kernel_test::read_file(m.upper() + "/new"), "text");
    EXPECT_GT(daemon.descriptors(), before);
    m.unmount();
  }
  EXPECT_EQ(settled_descriptors(daemon), before);
}

TEST(MountVerb, ManyMountsInOneDaemon) {
  Daemon daemon;
  std::size_t before = settled_descriptors(daemon);
  std::vector<std::unique_ptr<Joining>> mounts;
  for (int i = 0; i < 20; ++i) {
    mounts.push_back(std::make_unique<Joining>(daemon));
    kernel_test::write_file(mounts.back()->lower() + "/file", std::to_string(i));
    mounts.back()->mount();
  }
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(kernel_test::read_file(mounts[static_cast<std::size_t>(i)]->at("file")),
              std::to_string(i));
  mounts.clear();
  EXPECT_EQ(settled_descriptors(daemon), before);
}

TEST(MountVerb, WhatTheDaemonRefusesIsUnmounted) {
  Daemon daemon;
  Joining m(daemon);
  m.set_options("overlay.opaque=sideways");
  auto ran = kernel_test::run({kernel_test::mount_program(), "-o", m.options(), m.merged()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_FALSE(kernel_test::is_mounted(m.merged()));
}

}  // namespace
