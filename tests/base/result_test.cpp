#include "base/result.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/fd.hpp"

namespace {

base::Result<int> half(int n) {
  if (n % 2) return base::fail(EDOM);
  return n / 2;
}
base::Result<int> quarter(int n) {
  TRY(h, half(n));
  TRY(q, half(h));
  return q;
}

TEST(Result, PropagatesTheFirstError) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error(), base::Errno{EDOM});
}

TEST(Fd, ClosesExactlyOnce) {
  int raw = -1;
  {
    base::Fd a(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    raw = a.get();
    base::Fd b(std::move(a));
    EXPECT_FALSE(a.valid());
    EXPECT_EQ(b.get(), raw);
    EXPECT_EQ(::fcntl(raw, F_GETFD), FD_CLOEXEC);
  }
  EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
}

TEST(Fd, ResetClosesNow) {
  base::Fd a(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  int raw = a.get();
  a.reset();
  EXPECT_FALSE(a.valid());
  EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
}

}  // namespace
