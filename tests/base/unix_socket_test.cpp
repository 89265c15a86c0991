#include "base/unix_socket.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

namespace {

struct Pair {
  Pair() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    here = base::Fd(ends[0]), there = base::Fd(ends[1]);
  }
  base::Fd here, there;
};

TEST(WithFds, GoWithTheBytes) {
  Pair pair;
  base::Fd file(::memfd_create("test", 0));
  ASSERT_EQ(::write(file.get(), "in it", 5), 5);
  const int raw = file.get();
  EXPECT_EQ(base::send_with_fds(pair.here.get(), "text", {&raw, 1}, 0), 4u);
  char bytes[16];
  std::vector<base::Fd> fds;
  auto got = base::receive_with_fds(pair.there.get(), bytes, fds, 0);
  ASSERT_TRUE(got);
  EXPECT_EQ(std::string_view(bytes, got->size), "text");
  EXPECT_FALSE(got->lost_fds);
  ASSERT_EQ(fds.size(), 1u);
  char text[8] = "";
  EXPECT_EQ(::pread(fds[0].get(), text, sizeof text, 0), 5);
  EXPECT_STREQ(text, "in it");
  EXPECT_EQ(::fcntl(fds[0].get(), F_GETFD), FD_CLOEXEC);
}

TEST(WithFds, NothingAndTheEnd) {
  Pair pair;
  char bytes[16];
  std::vector<base::Fd> fds;
  EXPECT_EQ(base::receive_with_fds(pair.here.get(), bytes, fds, MSG_DONTWAIT).error().value,
            EAGAIN);
  EXPECT_EQ(base::send_with_fds(pair.there.get(), "x", {}, 0), 1u);
  pair.there.reset();
  EXPECT_EQ(base::receive_with_fds(pair.here.get(), bytes, fds, 0)->size, 1u);
  EXPECT_EQ(base::receive_with_fds(pair.here.get(), bytes, fds, 0)->size, 0u);
  EXPECT_TRUE(fds.empty());
  EXPECT_EQ(base::send_with_fds(pair.here.get(), "x", {}, 0).error().value, EPIPE);
}

TEST(WithFds, AsManyAsTheKernelTakes) {
  Pair pair;
  char bytes[16];
  std::vector<base::Fd> fds;
  std::vector<int> many(base::kMostFdsAtOnce, pair.here.get());
  EXPECT_EQ(base::send_with_fds(pair.here.get(), "x", many, 0), 1u);
  EXPECT_FALSE(base::receive_with_fds(pair.there.get(), bytes, fds, 0)->lost_fds);
  EXPECT_EQ(fds.size(), many.size());
  many.resize(254, pair.here.get());
  EXPECT_EQ(base::send_with_fds(pair.here.get(), "x", many, 0).error().value, EINVAL);
}

TEST(WithFds, ThatFindNoRoomAreToldOf) {
  Pair pair;
  char bytes[16];
  std::vector<base::Fd> fds;
  const int raw[2] = {pair.here.get(), pair.here.get()};
  EXPECT_EQ(base::send_with_fds(pair.here.get(), "x", raw, 0), 1u);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  base::Fd next(::fcntl(pair.here.get(), F_DUPFD_CLOEXEC, 0));
  const rlimit one_more{static_cast<rlim_t>(next.get()) + 2, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &one_more), 0);
  auto got = base::receive_with_fds(pair.there.get(), bytes, fds, 0);
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->size, 1u);
  EXPECT_TRUE(got->lost_fds);
  EXPECT_EQ(fds.size(), 1u) << "what came is ours";
}

TEST(PeerOf, IsWhoMadeTheOtherEnd) {
  Pair pair;
  auto peer = base::peer_of(pair.here.get());
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->pid, ::getpid());
  EXPECT_EQ(peer->uid, ::geteuid());
  EXPECT_EQ(base::peer_of(-1).error().value, EBADF);
}

}  // namespace
