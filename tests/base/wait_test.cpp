#include "base/wait.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

TEST(WaitFor, TellsHowItEnded) {
  pid_t leaves = ::fork();
  if (leaves == 0) ::_exit(7);
  const int status = base::wait_for(leaves);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
  pid_t dies = ::fork();
  if (dies == 0) {
    ::raise(SIGKILL);
    ::_exit(0);
  }
  const int killed = base::wait_for(dies);
  EXPECT_TRUE(WIFSIGNALED(killed));
  EXPECT_EQ(WTERMSIG(killed), SIGKILL);
}

TEST(WaitFor, NoChildIsNeitherWay) {
  const int status = base::wait_for(::getpid());
  EXPECT_EQ(status, -1);
  EXPECT_FALSE(WIFEXITED(status));
  EXPECT_FALSE(WIFSIGNALED(status));
}

TEST(WaitFor, GoesOnAfterASignal) {
  struct sigaction quiet = {}, before = {};
  quiet.sa_handler = [](int) {};  // without SA_RESTART: waitpid(2) fails with EINTR
  ASSERT_EQ(::sigaction(SIGALRM, &quiet, &before), 0);
  pid_t child = ::fork();
  if (child == 0) {
    ::usleep(100'000);
    ::_exit(3);
  }
  const itimerval often{{0, 10'000}, {0, 10'000}}, never{};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  const int status = base::wait_for(child);
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 3);
}

}  // namespace
