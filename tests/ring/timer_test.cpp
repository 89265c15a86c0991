#include "ring/timer.hpp"

#include <gtest/gtest.h>
#include <time.h>

#include <string>

#include "ring/reactor.hpp"

namespace ring {
namespace {

std::int64_t milliseconds() {
  timespec ts;
  ::clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000 + ts.tv_nsec / 1'000'000;
}

class TimerTest : public testing::Test {
 protected:
  std::unique_ptr<Reactor> reactor = std::move(*Reactor::make(8));
  std::string seen;
  std::function<void()> note(char what) {
    return [this, what] { seen += what; };
  }
};

TEST_F(TimerTest, ComeInTheOrderOfTimeAndNotBefore) {
  auto begin = milliseconds();
  Timer last = reactor->after(60, [this] {
    seen += 'c';
    reactor->stop();
  });
  Timer first = reactor->after(20, note('a'));  // earlier than what is armed already
  Timer second = reactor->after(40, note('b'));
  Timer at_once = reactor->after(0, note('0'));
  reactor->run();
  EXPECT_EQ(seen, "0abc");
  EXPECT_GE(milliseconds() - begin, 60);
}

TEST_F(TimerTest, CancelledOnesDoNotCome) {
  Timer end = reactor->after(50, [this] { reactor->stop(); });
  Timer replaced = reactor->after(10, note('x'));
  Timer moved = reactor->after(10, note('m'));
  Timer to = std::move(moved);
  { Timer gone = reactor->after(5, note('y')); }
  Timer by_other = reactor->after(30, note('z'));
  Timer canceller = reactor->after(30, note('.'));
  Timer early = reactor->after(20, [&] { by_other.cancel(); });
  replaced = reactor->after(15, note('r'));
  reactor->run();
  EXPECT_EQ(seen, "mr.");
}

TEST_F(TimerTest, ArmsItselfAgain) {
  Timer timer;
  int left = 5;
  std::function<void()> tick = [&] {
    if (--left == 0) return reactor->stop();
    timer = reactor->after(1, tick);
  };
  timer = reactor->after(1, tick);
  reactor->run();
  EXPECT_EQ(left, 0);
}

// What is due at once must not keep the reactor from its other work.
TEST_F(TimerTest, ZeroDoesNotSpinInPlace) {
  Timer timer;
  std::uint64_t ticks = 0;
  std::function<void()> tick = [&] {
    ++ticks;
    timer = reactor->after(0, tick);
  };
  timer = reactor->after(0, tick);
  for (int turns = 0; turns < 50; ++turns) reactor->turn();
  EXPECT_GT(ticks, 2u);
  EXPECT_LE(ticks, 50u);
}

TEST_F(TimerTest, ManyMoreThanTheRingHasRoomFor) {
  std::vector<Timer> timers;
  int come = 0;
  for (std::uint32_t i = 0; i < 2000; ++i)
    timers.push_back(reactor->after(20 - i % 20, [&] {
      if (++come == 1000) reactor->stop();
    }));
  for (std::size_t i = 0; i < timers.size(); i += 2) timers[i].cancel();
  reactor->run();
  EXPECT_EQ(come, 1000);
}

TEST_F(TimerTest, StopDoesNotWaitForThem) {
  Timer never = reactor->after(3'600'000, note('n'));
  reactor->stop();
  reactor->run();
  EXPECT_EQ(seen, "");
}

}  // namespace
}  // namespace ring
