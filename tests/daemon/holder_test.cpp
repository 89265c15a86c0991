// A holder in a process of its own, whose daemons do what the test says: what they keep is what the
// next one gets.
#include "daemon/holder.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "base/log.hpp"

namespace serving {
namespace {

// Memory that all processes of one test see.
struct Shared {
  int lives = 0;
  int ready = 0;
  int seen[64] = {};
};

class HolderTest : public testing::Test {
 protected:
  void SetUp() override {
    void* memory =
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    shared = new (memory) Shared;
  }
  void TearDown() override { ::munmap(shared, sizeof(Shared)); }

  Holding holding(std::function<int(Keeper)> daemon) {
    Holding out;
    out.daemon = std::move(daemon);
    out.on_ready = [this] { ++shared->ready; };
    return out;
  }
  // In a child, which is killed if it takes too long.
  static pid_t start(Holding what, base::Fd* not_its = nullptr) {
    pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);
      if (not_its) not_its->reset();
      base::log::set_silent();
      ::_exit(hold(std::move(what)));
    }
    return child;
  }
  static int end_of(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  int run(std::function<int(Keeper)> daemon) { return end_of(start(holding(std::move(daemon)))); }

  Shared* shared = nullptr;
};

base::Fd memory_with(const std::string& text) {
  base::Fd fd(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_EQ(::pwrite(fd.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return fd;
}

std::string text_of(const base::Fd& fd) {
  char text[64];
  ssize_t size = ::pread(fd.get(), text, sizeof text, 0);
  return std::string(text, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
}

TEST_F(HolderTest, WhatIsStoredSurvivesAKill) {
  EXPECT_EQ(run([this](Keeper keeper) {
              int life = shared->lives++;
              if (life == 0) {
                if (!keeper.inherited().empty()) return 1;
                keeper.ready();
                keeper.store("a", memory_with("one").get());
                keeper.store("a", memory_with("two").get());
                keeper.store("gone", memory_with("x").get());
                keeper.remove("gone");
                std::raise(SIGKILL);
              }
              auto [first, last] = keeper.inherited().equal_range("a");
              if (std::distance(first, last) != 2 || keeper.inherited().size() != 2) return 2;
              if (text_of(first->second) != "one" || text_of(std::next(first)->second) != "two")
                return 3;
              keeper.store("a", first->second.get());  // known: not kept twice
              if (life == 1) std::raise(SIGSEGV);
              return 0;
            }),
            0);
  EXPECT_EQ(shared->lives, 3);
  EXPECT_EQ(shared->ready, 1);
}

TEST_F(HolderTest, WhoFailsBeforeItWasReadyIsNotTriedAgain) {
  EXPECT_EQ(run([this](Keeper) { return ++shared->lives, 7; }), 7);
  EXPECT_EQ(shared->lives, 1);
  EXPECT_EQ(shared->ready, 0);
}

TEST_F(HolderTest, GivesUpOnADaemonThatDiesAtOnceEveryTime) {
  EXPECT_EQ(run([this](Keeper keeper) {
              ++shared->lives;
              keeper.ready();
              return 3;
            }),
            1);
  EXPECT_EQ(shared->lives, 13);
}

TEST(Patience, IsAtOnceFirstThenSlowerAndForgetsAfterALongLife) {
  Patience patience;
  int total = 0, pause = 0, lives = 0;
  while ((pause = patience.after_life(10)) >= 0) {
    ++lives;
    EXPECT_EQ(pause == 0, lives <= 5);
    total += pause;
  }
  EXPECT_EQ(lives, 12);
  EXPECT_GT(total, 3000) << "a daemon that cannot live must not keep a processor busy";
  Patience other;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(other.after_life(1500), 0);
}

TEST_F(HolderTest, TermGoesToTheDaemonWhichDecides) {
  pid_t holder = start(holding([](Keeper keeper) {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    keeper.ready();
    int number = 0;
    ::sigwait(&set, &number);
    return number == SIGTERM ? 0 : 9;
  }));
  while (shared->ready == 0) ::usleep(1000);
  ::kill(holder, SIGTERM);
  EXPECT_EQ(end_of(holder), 0);
}

TEST_F(HolderTest, TheSecondTermIsNotWaitedFor) {
  pid_t holder = start(holding([](Keeper keeper) {
    std::signal(SIGTERM, SIG_IGN);
    keeper.ready();
    for (;;) ::pause();
    return 0;
  }));
  while (shared->ready == 0) ::usleep(1000);
  ::kill(holder, SIGTERM);
  ::usleep(50'000);
  ::kill(holder, SIGINT);
  EXPECT_EQ(end_of(holder), 1);
}

TEST_F(HolderTest, RestartWithoutASuccessorIsTheSameAgain) {
  EXPECT_EQ(run([this](Keeper keeper) {
              keeper.ready();
              if (shared->lives++ > 0) return keeper.inherited().count("a") == 1 ? 0 : 4;
              keeper.store("a", memory_with("one").get());
              return kRestartCode;
            }),
            0);
  EXPECT_EQ(shared->lives, 2);
}

// The upgrade: the old holder sends all that it has to the new one, and ends when that one's daemon
// serves.
TEST_F(HolderTest, HandsOverToASuccessor) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  base::Fd mine(ends[0]), theirs(ends[1]);
  pid_t old_one =
      start(holding([this, &theirs](Keeper keeper) {
              ++shared->lives;
              keeper.ready();
              for (int i = 0; i < 300; ++i)
                keeper.store("n" + std::to_string(i), memory_with(std::to_string(i)).get());
              keeper.store(kSuccessor, theirs.get());
              keeper.flush(std::chrono::seconds(5));
              return kRestartCode;
            }),
            &mine);
  theirs.reset();
  auto kept = take_from_predecessor(mine);
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_EQ(kept->size(), 300u);
  Holding next = holding([this](Keeper keeper) {
    keeper.ready();
    for (int i = 0; i < 300; ++i) {
      auto found = keeper.inherited().find("n" + std::to_string(i));
      if (found == keeper.inherited().end() || text_of(found->second) != std::to_string(i))
        return 5;
    }
    return ++shared->lives, 0;
  });
  next.kept = std::move(*kept);
  next.predecessor = std::move(mine);
  EXPECT_EQ(end_of(start(std::move(next))), 0);
  EXPECT_EQ(end_of(old_one), 0);
  EXPECT_EQ(shared->lives, 2);
}

TEST_F(HolderTest, ASuccessorThatFailsIsAsIfItHadNotBeen) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  base::Fd mine(ends[0]), theirs(ends[1]);
  pid_t old_one = start(holding([this, &theirs](Keeper keeper) {
                          keeper.ready();
                          if (shared->lives++ > 0)
                            return keeper.inherited().count("a") == 1 ? 0 : 6;
                          keeper.store("a", memory_with("one").get());
                          keeper.store(kSuccessor, theirs.get());
                          return kRestartCode;
                        }),
                        &mine);
  theirs.reset();
  ASSERT_TRUE(take_from_predecessor(mine));
  mine.reset();  // its daemon did not start
  EXPECT_EQ(end_of(old_one), 0);
  EXPECT_EQ(shared->lives, 2);
}

TEST_F(HolderTest, APredecessorThatDiesIsNoPredecessor) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  base::Fd mine(ends[0]);
  Keeper half = Keeper::over(base::Fd(ends[1]), {});
  half.store("a", memory_with("one").get());
  half = Keeper();
  EXPECT_FALSE(take_from_predecessor(mine));
}

}  // namespace
}  // namespace serving
