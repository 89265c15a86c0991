#include "daemon/status.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/log.hpp"
#include "daemon/totals.hpp"
#include "tests/daemon/rig.hpp"

namespace serving {
namespace {

using ::testing::HasSubstr;

class StatusTest : public ::testing::Test {
 protected:
  Json ask(Json request) {
    auto client = Client::connect(daemon.socket());
    EXPECT_TRUE(client) << client.error().message;
    auto answer = client->call(std::move(request));
    EXPECT_TRUE(answer) << answer.error().message;
    return answer ? *answer : Json{};
  }
  daemon_test::Daemon daemon;
};

TEST_F(StatusTest, OfADaemonWithoutMounts) {
  Json status = ask({{"verb", "status"}});
  EXPECT_EQ(status["schema"], kStatusSchema);
  EXPECT_EQ(status["pid"], daemon.pid());
  EXPECT_EQ(status["mounts"], Json::array());
  EXPECT_EQ(status["totals"]["requests"], 0);
  EXPECT_EQ(status["control"]["socket"], daemon.socket());
  EXPECT_EQ(status["recovery"]["restarts"], 0);
  EXPECT_GT(status["ring"]["entries"], 0);
  EXPECT_GT(status["process"]["rss_bytes"], 1'000'000);
  EXPECT_LT(status["process"]["rss_bytes"], 1'000'000'000);
  EXPECT_GE(status["uptime_s"], 0.0);
  EXPECT_LT(status["uptime_s"], 60.0);
  EXPECT_THAT(status["namespace"]["uid_map"].get<std::string>(), HasSubstr(" "));
  EXPECT_EQ(ask({{"verb", "mounts"}})["mounts"], Json::array());
  EXPECT_EQ(ask({{"verb", "inflight"}})["in_flight"], 0);
  EXPECT_THAT(ask({{"verb", "metrics"}})["text"].get<std::string>(),
              HasSubstr("\nusernetes_identity_mounts 0\n"));
}

/// The number that is reported is the one that the kernel lists.
TEST_F(StatusTest, DescriptorsAreCountedRight) {
  auto client = Client::connect(daemon.socket());
  ASSERT_TRUE(client);
  (void)daemon.settled_descriptors();  // the connection by which it was seen to be up has ended
  auto status = client->call({{"verb", "status"}});
  ASSERT_TRUE(status);
  EXPECT_EQ((*status)["process"]["fds"], daemon.descriptors());
}

TEST_F(StatusTest, WhoWasTurnedAwayIsCounted) {
  auto client = Client::connect(daemon.socket());
  ASSERT_TRUE(client);
  EXPECT_FALSE(client->call({{"verb", "no-such-verb"}}));
  Json control = ask({{"verb", "status"}})["control"];
  EXPECT_EQ(control["rejected"]["verb"], 1);
  EXPECT_EQ(control["rejected"]["garbage"], 0);
  EXPECT_GE(control["accepted"], 2);
  EXPECT_EQ(control["connections"], 1) << "the one that asks";
}

TEST_F(StatusTest, LogLevelChangesWhileItRuns) {
  EXPECT_EQ(ask({{"verb", "log-level"}})["level"], "info");
  Json changed = ask({{"verb", "log-level"}, {"level", "error"}});
  EXPECT_EQ(changed["was"], "info");
  EXPECT_EQ(ask({{"verb", "status"}})["log"]["level"], "error");
  auto client = Client::connect(daemon.socket());
  ASSERT_TRUE(client);
  auto refused = client->call({{"verb", "log-level"}, {"level", "loud"}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("debug, info, warning, error"));
  EXPECT_EQ(ask({{"verb", "log-level"}})["level"], "error");
}

TEST(Totals, NothingIsForgottenWithAMount) {
  Totals totals;
  fusefs::SessionStats stats;
  stats.ops[1].requests = 3;
  stats.ops[1].errors[ENOENT] = 2;
  stats.ops[1].record(5000);
  stats.rejected = 1;
  fusefs::Counters counters;
  counters.copied_bytes = 100;
  for (int mount = 0; mount < 2; ++mount) totals.absorb(stats, counters);
  EXPECT_EQ(totals.mounts_ended, 2u);
  EXPECT_EQ(totals.requests.requests(), 6u);
  EXPECT_EQ(totals.requests.errors().at(ENOENT), 4u);
  EXPECT_EQ(totals.requests.ops[1].latency->count(), 2u);
  EXPECT_EQ(totals.requests.rejected, 2u);
  EXPECT_EQ(totals.changes.copied_bytes, 200u);
}

/// A path of a mount may be anything but a NUL; the answer is JSON all the same.
TEST(StatusJson, APathThatIsNoText) {
  Status status;
  fusefs::SessionStats stats;
  stats.ops[1].requests = 1;
  stats.ops[1].errors[EIO] = 1;
  MountStatus mount;
  mount.path = "/a\xff\n\"b";
  mount.stats = &stats;
  status.mounts.push_back(mount);
  std::string line = answer_line(status_json(status), "");
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  auto read = parse_answer(line);
  ASSERT_TRUE(read);
  EXPECT_EQ((*read)["mounts"][0]["errors"], 1);
  EXPECT_EQ(mounts_json(status, true)[0]["operations"]["lookup"]["errors"]["EIO"], 1);
  EXPECT_EQ(mounts_json(status, true)[0]["errors_by"]["EIO"], 1);
}

}  // namespace
}  // namespace serving
