// What a daemon writes down of its mounts, as a successor reads it at any moment.
#include "daemon/state.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace serving {
namespace {

Json mount(const std::string& path) {
  return {{"path", path}, {"arguments", {"-o", "lowerdir=a", path}}};
}

base::Fd again(const State& state) {
  return base::Fd(::fcntl(state.fd(), F_DUPFD_CLOEXEC, 3));
}

TEST(State, IsReadAsItWasWritten) {
  auto state = std::move(*State::create());
  state->add(1, mount("/one"));
  state->add(2, mount("/two \xff\n\""));  // a path is bytes
  state->add(3, mount("/three"));
  state->remove(1);
  state->remove(7);
  state->head().restarts = 5;
  auto next = State::adopt(again(*state));
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_EQ((*next)->mounts().size(), 2u);
  EXPECT_EQ((*next)->mounts().at(3)["path"], "/three");
  EXPECT_EQ((*next)->head().restarts, 5u);
  EXPECT_EQ((*next)->head().last_id, 3u);
}

// Killed between the bytes and the length: the line is not there.
TEST(State, AHalfWrittenLineDoesNotCount) {
  auto state = std::move(*State::create());
  state->add(1, mount("/one"));
  std::uint64_t before = state->head().span;
  state->add(2, mount("/two"));
  state->head().span = before;
  auto next = State::adopt(again(*state));
  ASSERT_TRUE(next);
  EXPECT_EQ((*next)->mounts().size(), 1u);
  (*next)->add(4, mount("/four"));  // over what was left of it
  auto last = State::adopt(again(*state));
  ASSERT_TRUE(last);
  EXPECT_TRUE((*last)->mounts().contains(4));
  EXPECT_FALSE((*last)->mounts().contains(2));
}

TEST(State, DoesNotGrowWithMountsThatAreGone) {
  auto state = std::move(*State::create());
  state->add(1, mount("/stays"));
  for (std::uint64_t id = 2; id < 20'000; ++id) {
    state->add(id, mount("/" + std::string(200, 'x')));
    state->remove(id);
  }
  struct stat st {};
  ::fstat(state->fd(), &st);
  EXPECT_LT(st.st_blocks * 512, 512 * 1024);
  auto next = State::adopt(again(*state));
  ASSERT_TRUE(next);
  EXPECT_EQ((*next)->mounts().size(), 1u);
  EXPECT_EQ((*next)->head().last_id, 19'999u);
}

TEST(State, WhatIsNoStateIsRefused) {
  EXPECT_FALSE(State::adopt(base::Fd(::memfd_create("short", MFD_CLOEXEC))));
  EXPECT_FALSE(State::adopt(base::Fd(::open("/dev/null", O_RDWR | O_CLOEXEC))));
  base::Fd zeros(::memfd_create("zeros", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(zeros.get(), 8192), 0);
  EXPECT_FALSE(State::adopt(std::move(zeros)));
  auto state = std::move(*State::create());
  state->head().span = 1ull << 32 | 0xfffffff0;
  EXPECT_FALSE(State::adopt(again(*state)));
  state->head().span = 0;
  EXPECT_FALSE(State::adopt(again(*state)));
  state->head().version = 99;
  auto newer = State::adopt(again(*state));
  ASSERT_FALSE(newer);
  EXPECT_NE(newer.error().message.find("version 99"), std::string::npos);
}

TEST(State, LinesThatMakeNoSenseArePassedOver) {
  auto state = std::move(*State::create());
  const std::string text = "nonsense\n[]\n{\"id\":-1}\n{\"id\":3,\"arguments\":[]}\n";
  ASSERT_EQ(::pwrite(state->fd(), text.data(), text.size(), 4096),
            static_cast<ssize_t>(text.size()));
  state->head().span = 1ull << 32 | text.size();
  auto next = State::adopt(again(*state));
  ASSERT_TRUE(next);
  EXPECT_EQ((*next)->mounts().size(), 1u);
}

}  // namespace
}  // namespace serving
