#include "ring/reactor.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/fd.hpp"
#include "ring/task.hpp"

namespace ring {
namespace {

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    out = base::Fd(ends[0]);
    in = base::Fd(ends[1]);
  }
  void write() const { EXPECT_EQ(::write(in.get(), "x", 1), 1); }
  int take() const {
    char text[64];
    return static_cast<int>(::read(out.get(), text, sizeof text));
  }
  base::Fd out, in;
};

class ReactorTest : public testing::Test {
 protected:
  std::unique_ptr<Reactor> reactor = std::move(*Reactor::make());
  void run_to_the_end() {
    reactor->stop();
    reactor->run();
  }
};

Task<void> await_operation(Reactor& reactor, Op op, int& result) {
  result = co_await reactor.operation(op);
}

TEST_F(ReactorTest, OperationResumesWithTheKernelsResult) {
  int result = 1, bad = 1;
  Op op;
  op.opcode = IORING_OP_FSYNC;
  op.fd = 1'000'000;
  spawn(await_operation(*reactor, Op{}, result));
  spawn(await_operation(*reactor, op, bad));
  EXPECT_EQ(result, 1) << "completed before the ring was looked at";
  EXPECT_EQ(reactor->deferred_operations(), 2u);
  while (result == 1 || bad == 1) reactor->turn();
  EXPECT_EQ(result, 0);
  EXPECT_EQ(bad, -EBADF);
}

TEST_F(ReactorTest, MoreOperationsThanTheQueueHas) {
  auto small = std::move(*Reactor::make(4));
  std::vector<int> results(1000, 1);
  for (int& result : results) spawn(await_operation(*small, Op{}, result));
  auto left = [&] { return std::count(results.begin(), results.end(), 1); };
  for (int turns = 0; left() > 0 && turns < 1000; ++turns) small->turn();
  EXPECT_EQ(left(), 0);
}

TEST_F(ReactorTest, WatchReportsEachTimeItBecomesReadable) {
  Pipe pipe;
  int seen = 0;
  Watch watch = reactor->watch(pipe.out.get(), POLLIN, [&](int events) {
    EXPECT_TRUE(events & POLLIN);
    seen += pipe.take();
  });
  for (int i = 1; i <= 5; ++i) {
    pipe.write();
    while (seen < i) reactor->turn();
    EXPECT_EQ(seen, i);
  }
  watch = {};
  run_to_the_end();
}

/// The kernel ends a multishot poll when its completions do not fit; nothing may be missed.
TEST_F(ReactorTest, WatchGoesOnAfterAnOverflow) {
  auto small = std::move(*Reactor::make(4));
  Pipe pipe;
  int seen = 0;
  Watch watch = small->watch(pipe.out.get(), POLLIN, [&](int) {
    for (int n; (n = pipe.take()) > 0;) seen += n;
  });
  std::vector<int> results(4000, 1);
  auto left = [&] { return std::count(results.begin(), results.end(), 1); };
  int written = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    spawn(await_operation(*small, Op{}, results[i]));
    if (i % 10 == 0) {
      pipe.write();
      ++written;
    }
  }
  for (int turns = 0; (seen < written || left() > 0) && turns < 10'000; ++turns) small->turn();
  EXPECT_EQ(seen, written);
  EXPECT_EQ(left(), 0);
  watch = {};
  small->stop();
  small->run();
}

TEST_F(ReactorTest, DroppedWatchIsNeverCalledAgain) {
  Pipe pipe;
  int calls = 0;
  Watch watch = reactor->watch(pipe.out.get(), POLLIN, [&](int) { ++calls; });
  pipe.write();
  while (calls == 0) reactor->turn();
  watch = {};
  pipe.write();
  run_to_the_end();
  EXPECT_EQ(calls, 1);
}

/// As when a mount fails before anything was served. What is left over shows with sanitizers.
TEST_F(ReactorTest, WatchDroppedAndNeverConfirmed) {
  Pipe pipe;
  Watch watch = reactor->watch(pipe.out.get(), POLLIN, [](int) { FAIL(); });
  watch = {};
  reactor.reset();
}

TEST_F(ReactorTest, WatchOfABadDescriptorIsToldSo) {
  int told = 0;
  Watch watch = reactor->watch(1'000'000, POLLIN, [&](int events) { told = events; });
  while (told == 0) reactor->turn();
  EXPECT_EQ(told, -EBADF);
  watch = {};
  run_to_the_end();
}

TEST_F(ReactorTest, NearWatchIsToldAsLongAsThereIsSomething) {
  Pipe pipe;
  int calls = 0;
  Watch near = reactor->watch_near(pipe.out.get(), POLLIN, [&](int events) {
    EXPECT_EQ(events, POLLIN);
    ++calls;
  });
  ASSERT_TRUE(near);
  pipe.write();
  for (int i = 1; i <= 5; ++i) {
    reactor->turn();
    EXPECT_EQ(calls, i);
  }
  near = {};
  run_to_the_end();
  EXPECT_EQ(calls, 5);
}

/// The thread sleeps in poll(2), and only the ring has something for it.
TEST_F(ReactorTest, TheRingWakesWhoWatchesNear) {
  Pipe quiet, pipe;
  int useless = 0, timers = 0, seen = 0;
  Watch near = reactor->watch_near(quiet.out.get(), POLLIN, [&](int events) {
    EXPECT_EQ(events, 0) << "there is nothing";
    ++useless;
  });
  Watch watch = reactor->watch(pipe.out.get(), POLLIN, [&](int) { seen += pipe.take(); });
  for (int i = 1; i <= 100; ++i) {
    Timer timer = reactor->after(1, [&] {
      ++timers;
      pipe.write();
    });
    while (timers < i || seen < i) reactor->turn();
  }
  EXPECT_GT(useless, 0) << "it is told that it makes the others dearer";
  near = {};
  watch = {};
  run_to_the_end();
}

TEST_F(ReactorTest, AStormNearByStarvesNobody) {
  Pipe storm, pipe;
  int calls = 0, seen = 0, result = 1;
  Watch near = reactor->watch_near(storm.out.get(), POLLIN, [&](int) { ++calls; });
  Watch watch = reactor->watch(pipe.out.get(), POLLIN, [&](int) { seen += pipe.take(); });
  storm.write();
  spawn(await_operation(*reactor, Op{}, result));
  pipe.write();
  for (int turns = 0; turns < 10'000 && (seen == 0 || result == 1); ++turns) reactor->turn();
  EXPECT_EQ(result, 0);
  EXPECT_EQ(seen, 1);
  const int before = calls;
  std::function<void()> again = [&] { reactor->defer(again); };  // nor does work that never ends
  again();
  for (int turns = 0; turns < 10; ++turns) reactor->turn();
  EXPECT_EQ(calls, before + 10);
  again = [] {};
  near = {};
  watch = {};
  run_to_the_end();
}

TEST_F(ReactorTest, NearWatchDroppedWhileItIsToldAndBeforeTheEnd) {
  Pipe pipe;
  pipe.write();
  int calls = 0;
  Watch first, second;
  auto drop_both = [&](int) {
    ++calls;
    first = {};
    second = {};
  };
  first = reactor->watch_near(pipe.out.get(), POLLIN, drop_both);
  second = reactor->watch_near(pipe.out.get(), POLLIN, drop_both);
  reactor->turn();
  EXPECT_EQ(calls, 1);
  first = reactor->watch_near(pipe.out.get(), POLLIN, drop_both);
  first = {};
  reactor.reset();  // what is left over shows with sanitizers
}

TEST_F(ReactorTest, OnlySoManyAreNear) {
  Pipe pipe;
  std::vector<Watch> watches;
  for (int i = 0; i < 100; ++i) {
    Watch one = reactor->watch_near(pipe.out.get(), POLLIN, [](int) {});
    if (!one) break;
    watches.push_back(std::move(one));
  }
  EXPECT_GT(watches.size(), 1u);
  EXPECT_LT(watches.size(), 20u);
  watches.clear();
  EXPECT_TRUE(reactor->watch_near(pipe.out.get(), POLLIN, [](int) {}));
  run_to_the_end();
}

TEST_F(ReactorTest, DeferredWorkRunsInOrderAndNotAtOnce) {
  std::string order;
  reactor->defer([&] {
    order += "a";
    reactor->defer([&] { order += "c"; });
  });
  reactor->defer([&] { order += "b"; });
  EXPECT_EQ(order, "");
  reactor->turn();
  EXPECT_EQ(order, "ab");
  reactor->turn();
  EXPECT_EQ(order, "abc");
}

TEST_F(ReactorTest, RunEndsOnlyWhenTheQueueIsEmpty) {
  int left = 10;
  std::function<void()> again = [&] {
    if (--left > 0) reactor->defer(again);
  };
  reactor->defer(again);
  run_to_the_end();
  EXPECT_EQ(left, 0);
}

Task<void> await_event(Event& event, std::string& order, char mark) {
  co_await event.wait();
  order += mark;
}

/// One who waited in a copy of the event waited for ever.
TEST_F(ReactorTest, EventWakesAllWhoWait) {
  Event event(*reactor);
  std::string order;
  for (char mark : {'a', 'b', 'c'}) spawn(await_event(event, order, mark));
  EXPECT_FALSE(event.fired());
  event.fire();
  EXPECT_EQ(order, "") << "resumed inside fire()";
  reactor->turn();
  EXPECT_EQ(order, "abc");
  spawn(await_event(event, order, 'd'));
  EXPECT_EQ(order, "abcd") << "an event that has fired is not waited for";
}

Task<int> sum(int depth) {
  if (depth == 0) co_return 0;
  int below = co_await sum(depth - 1);
  co_return below + 1;
}
Task<void> outer(int depth, int& result) {
  result = co_await sum(depth);
}

TEST(Task, RunsWhenAwaitedAndNotBefore) {
  int result = -1;
  { Task<void> never = outer(1, result); }
  EXPECT_EQ(result, -1);
  spawn(outer(1000, result));
  EXPECT_EQ(result, 1000);
}

}  // namespace
}  // namespace ring
