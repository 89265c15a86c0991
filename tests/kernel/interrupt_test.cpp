// A copy-up takes as long as the file is large; whoever waits for it can still be killed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

constexpr std::size_t kPiece = 1 << 20;
constexpr int kPieces = 400;

TEST(Interrupt, AKilledCopyUpEndsAtOnceAndChangesNothing) {
  OverlayMount m;
  {
    const base::Fd fd = open_at(m.lower() + "/big", O_WRONLY | O_CREAT);
    const std::string piece(kPiece, 'x');
    for (int i = 0; i < kPieces; ++i)
      ASSERT_EQ(write(fd.get(), piece.data(), piece.size()), static_cast<ssize_t>(piece.size()));
  }
  m.mount();
  ASSERT_EQ(stat_of(m.at("big")).st_mode & 0777, 0644u);
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    chmod(m.at("big").c_str(), 0600);
    _exit(0);
  }
  usleep(20000);
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - start;
  if (WIFSIGNALED(
          status)) {  // else the machine copies 400 MB in 20 ms, and there is nothing to see
    EXPECT_EQ(stat_of(m.at("big")).st_mode & 0777, 0644u);
    EXPECT_EQ(names_in(m.upper()), "");
    EXPECT_LT(waited.count(), 30);  // not a time but "it ended": a stuck one would last for ever
  }
  EXPECT_EQ(outcome(chmod(m.at("big").c_str(), 0600)), "ok") << "and a later one is whole";
  EXPECT_EQ(stat_of(m.upper() + "/big").st_size, static_cast<off_t>(kPiece) * kPieces);
}

}  // namespace
}  // namespace kernel_test
