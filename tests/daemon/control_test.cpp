#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/daemon/rig.hpp"

namespace {

using daemon_test::Daemon;
using serving::Client;

TEST(Control, SaysHello) {
  Daemon daemon;
  auto client = Client::connect(daemon.socket());
  ASSERT_TRUE(client) << client.error().message;
  EXPECT_EQ(client->hello().pid, daemon.pid());
  EXPECT_EQ(client->hello().maps, serving::IdMaps::of_this_process());
  auto again = client->call({{"verb", "hello"}});
  EXPECT_TRUE(again);
  auto unknown = client->call({{"verb", "no\nverb"}});
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, testing::HasSubstr("no\\x0averb"));
}

TEST(Control, TakesTheSocketOfADeadDaemonButNotOfALiveOne) {
  Daemon daemon;
  auto second = serving::listen_at(daemon.socket());
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, testing::HasSubstr("another daemon listens there"));
  ::kill(daemon.pid(), SIGKILL);
  ::waitpid(daemon.pid(), nullptr, 0);
  EXPECT_FALSE(Client::connect(daemon.socket()));
  auto third = serving::listen_at(daemon.socket());
  EXPECT_TRUE(third) << third.error().message;
}

}  // namespace
