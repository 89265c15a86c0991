// Linked into every test that mounts: the program has a mount namespace of its own.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>

namespace {

/// A mount ends with the last mount namespace that has it. One that is made in the machine's own
/// is copied by every `unshare --mount` of whoever else runs, and then outlives its umount: a
/// server that waits for its end would wait for theirs. Dies with the program, too, however it
/// dies.
class OwnMounts : public testing::Environment {
 public:
  void SetUp() override {
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0) << "needs root: " << std::strerror(errno);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0)
        << std::strerror(errno);
  }
};

[[maybe_unused]] const auto* const own_mounts =
    testing::AddGlobalTestEnvironment(new OwnMounts);  // gtest deletes it

}  // namespace
