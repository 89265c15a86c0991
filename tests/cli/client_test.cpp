// The verbs that ask a daemon, as processes, before a daemon that answers what the test wants.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "cli/unit_job.hpp"
#include "daemon/runtime_dir.hpp"
#include "tests/cli/fake_daemon.hpp"
#include "tests/cli/program.hpp"

namespace {

using serving::Json;
using testing::HasSubstr;

class ClientVerbs : public testing::Test {
 protected:
  std::filesystem::path run_dir() const { return root_.path() / "usernetes-identity"; }
  Ended run(std::vector<std::string> words, std::vector<std::string> environment = {}) {
    environment.push_back("XDG_RUNTIME_DIR=" + root_.path().string());
    environment.push_back("HOME=" + root_.path().string());
    return run_program(words, environment);
  }
  TemporaryDirectory root_;
};

const std::vector<std::vector<std::string>> kAll = {{"status"},    {"status", "--inflight"},
                                                    {"mounts"},    {"metrics"},
                                                    {"log-level"}, {"reload"},
                                                    {"drain"},     {"stop"},
                                                    {"restart"},   {"log-level", "debug"}};

TEST_F(ClientVerbs, WithoutADaemonTheCodeIsThreeAndTheWayOutIsNamed) {
  for (const auto& words : kAll) {
    auto ended = run(words);
    EXPECT_EQ(ended.code, 3) << words[0];
    EXPECT_THAT(ended.err, HasSubstr("no daemon is running")) << words[0];
    EXPECT_THAT(ended.err, HasSubstr("systemctl --user start usernetes-identity.socket"));
    EXPECT_EQ(ended.out, "");
  }
  auto ended = run({"status", "--socket", "/nonexistent/x.sock"});
  EXPECT_EQ(ended.code, 3);
  EXPECT_THAT(ended.err, HasSubstr("/nonexistent/x.sock: nobody listens there"));
}

TEST_F(ClientVerbs, ARefusalIsCodeOneWithTheDaemonsSentence) {
  FakeDaemon daemon(run_dir(), {});
  for (const auto& words : kAll) {
    auto ended = run(words);
    EXPECT_EQ(ended.code, 1) << words[0];
    EXPECT_EQ(ended.err, "usernetes-identity: no such verb here\n") << words[0];
  }
}

TEST_F(ClientVerbs, StatusAsATableAndAsJson) {
  Json mount = {{"id", 3}, {"path", "/merged\x1b[2J"}, {"writable", true}, {"requests", 17}};
  Json answer = {{"version", "9.9.9"}, {"pid", 4711}, {"mounts", Json::array({mount})}};
  FakeDaemon daemon(run_dir(), {{"status", answer}});
  auto shown = run({"status"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("usernetes-identity 9.9.9, pid 4711"));
  EXPECT_THAT(shown.out, HasSubstr("/merged\\x1b[2J\n")) << "no escape reaches a terminal";
  EXPECT_EQ(Json::parse(run({"status", "--json"}).out), answer);
}

TEST_F(ClientVerbs, WhatIsAskedForArrives) {
  FakeDaemon daemon(run_dir(), {{"inflight", Json::object()},
                                {"mounts", Json::object()},
                                {"metrics", {{"text", "a 1\n"}}},
                                {"log-level", {{"level", "debug"}}},
                                {"drain", {{"mounts", 2}}}});
  EXPECT_EQ(run({"status", "--inflight"}).out, "no request waits\n");
  EXPECT_EQ(run({"mounts"}).out, "no mounts\n");
  EXPECT_EQ(daemon.asked()["detail"], false);
  run({"mounts", "--json"});
  EXPECT_EQ(daemon.asked()["detail"], true);
  EXPECT_EQ(run({"metrics"}).out, "a 1\n");
  EXPECT_EQ(run({"log-level", "debug"}).out, "debug\n");
  EXPECT_EQ(daemon.asked()["level"], "debug");
  EXPECT_THAT(run({"drain"}).out, HasSubstr("mounts now: 2"));
}

TEST_F(ClientVerbs, ReloadBringsTheCallersSettings) {
  Json change = {{"key", "log.level"}, {"from", "info"}, {"to", "debug"}, {"takes_effect", "x"}};
  FakeDaemon daemon(run_dir(), {{"reload", {{"applied", {change}}, {"kept", Json::array()}}}});
  auto done = run({"reload", "--set", "fuse.timeout=7"}, {"USERNETES_IDENTITY_LOG_LEVEL=debug"});
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_EQ(done.out, "applied  log.level = debug (was info): takes effect x\n");
  EXPECT_EQ(daemon.asked()["settings"]["log.level"], "debug");
  EXPECT_EQ(daemon.asked()["settings"]["fuse.timeout"], "7");
  auto refused = run({"reload", "--set", "log.level=loud", "--set", "bogus"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("--set: log.level = \"loud\" is not allowed"));
  EXPECT_THAT(refused.err, HasSubstr("--set bogus: not of the form"));
  EXPECT_THAT(refused.err, HasSubstr("nothing was reloaded"));
}

TEST_F(ClientVerbs, ABrokenSettingsFileDoesNotHideTheDaemon) {
  FakeDaemon daemon(run_dir(), {{"mounts", Json::object()}});
  EXPECT_EQ(run({"mounts"}, {"USERNETES_IDENTITY_LOG_LEVEL=loud"}).code, 0);
}

TEST_F(ClientVerbs, StopWaitsForTheEnd) {
  FakeDaemon daemon(run_dir(), {{"mounts", Json::object()}, {"stop", {{"mounts", 1}}}}, "stop");
  auto stopped = run({"stop", "--now"});
  EXPECT_EQ(stopped.code, 0) << stopped.err;
  EXPECT_EQ(daemon.asked()["now"], true);
  EXPECT_EQ(run({"status"}).code, 3);
}

TEST_F(ClientVerbs, SeveralDaemonsAreNamedNotGuessed) {
  auto one = serving::listen_at([&] {
    std::filesystem::create_directories(run_dir());
    std::filesystem::permissions(run_dir(), std::filesystem::perms::owner_all);
    return run_dir() / "ns-0000000000000001.sock";
  }());
  auto two = serving::listen_at(run_dir() / "ns-0000000000000002.sock");
  ASSERT_TRUE(one && two);
  auto ended = run({"status"});
  EXPECT_EQ(ended.code, 3);
  EXPECT_THAT(ended.err, HasSubstr("several daemons run"));
  EXPECT_THAT(ended.err, HasSubstr("ns-0000000000000002.sock"));
}

TEST_F(ClientVerbs, WatchAsksAgainUntilItsReaderIsGone) {
  FakeDaemon daemon(run_dir(), {{"status", {{"version", "9.9.9"}}}});
  std::string command = "timeout 10 " UNI_BINARY " status --watch=0.1 --json | head -n 3";
  auto watched = run_command({"sh", "-c", command},
                             {"PATH=/usr/bin:/bin", "XDG_RUNTIME_DIR=" + root_.path().string()});
  EXPECT_EQ(watched.out,
            "{\"version\":\"9.9.9\"}\n{\"version\":\"9.9.9\"}\n{\"version\":\"9.9.9\"}\n");
  EXPECT_EQ(run({"status", "--watch=0"}).code, 2);
  EXPECT_EQ(run({"status", "--watch", "x"}).code, 2);
  auto by_default = run_command({"timeout", "0.5", UNI_BINARY, "status", "--watch"},
                                {"PATH=/usr/bin:/bin", "XDG_RUNTIME_DIR=" + root_.path().string()});
  EXPECT_EQ(by_default.code, 124) << by_default.err;
  EXPECT_THAT(by_default.out, HasSubstr("usernetes-identity 9.9.9"));
}

// --- from a unit -------------------------------------------------------------------------------

TEST(UnitJob, IsFoundByTheUnitsName) {
  const std::string list =
      " 12 other.service stop waiting\n117 usernetes-identity.service restart running\n";
  EXPECT_EQ(cli::job_of(list, "usernetes-identity.service"), "restart");
  EXPECT_EQ(cli::job_of(list, "other.service"), "stop");
  EXPECT_EQ(cli::job_of(list, "third.service"), "");
  EXPECT_EQ(cli::job_of("No jobs running.\n", "other.service"), "");
  EXPECT_EQ(cli::unit_of_cgroup("0::/user.slice/user-1000.slice/user@1000.service/app.slice/"
                                "mine.service\n"),
            "mine.service");
  EXPECT_EQ(cli::unit_of_cgroup("0::/user.slice/session-1.scope\n"), "");
}

TEST_F(ClientVerbs, FromAUnitOnlyAStopStops) {
  FakeDaemon daemon(run_dir(), {{"mounts", Json::object()}, {"stop", {{"mounts", 1}}}}, "stop");
  std::filesystem::path bin = root_.path() / "bin";
  std::filesystem::create_directory(bin);
  auto from_unit = [&](const std::string& jobs, std::vector<std::string> environment) {
    std::ofstream(bin / "systemctl") << "#!/bin/sh\ncat <<E\n" << jobs << "\nE\n";
    std::filesystem::permissions(bin / "systemctl", std::filesystem::perms::owner_all);
    environment.push_back("PATH=" + bin.string() + ":/usr/bin:/bin");
    return run({"stop", "--from-unit"}, environment).code;
  };
  const std::string unit = "7 usernetes-identity.service ";
  EXPECT_EQ(from_unit(unit + "restart running", {"MAINPID=1"}), 0);
  EXPECT_EQ(from_unit("", {"MAINPID=1"}), 0);
  EXPECT_EQ(from_unit(unit + "stop running", {}), 0) << "it has crashed";
  EXPECT_TRUE(daemon.asked().is_discarded()) << "nothing was asked so far";
  EXPECT_EQ(from_unit(unit + "stop running", {"MAINPID=1"}), 0);
  EXPECT_EQ(daemon.asked()["verb"], "stop");
}

}  // namespace
