#include "seccomp/state_message.hpp"

#include <gtest/gtest.h>

namespace seccomp {
namespace {

// As crun 1.8.1 sends it.
std::string state(const std::string& metadata, const std::string& more = {}) {
  return R"({"ociVersion":"0.2.0","fds":["seccompFd"],"pid":4711,"metadata":)" + metadata +
         R"(,"state":{"ociVersion":"0.2.0","id":"c0ffee","status":"creating","pid":815,)" +
         R"("bundle":"/b"})" + more + "}";
}

TEST(StateMessage, OursSaysModeAndProfile) {
  auto got =
      parse_state(state(R"("{\"v\":1,\"id\":\"web\",\"mode\":\"map\",\"profile\":\"basic\"}")"));
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_TRUE(got->ours);
  EXPECT_EQ(got->info.id, "web");
  EXPECT_EQ(got->info.mode, Mode::map);
  EXPECT_EQ(got->info.profile, Profile::basic);
  EXPECT_FALSE(got->info.killable);
  EXPECT_EQ(got->info.pid, 815);
  EXPECT_EQ(got->listener, 0u);
}

TEST(StateMessage, WhatWeWriteWeRead) {
  ContainerInfo info{.id = "a \"b\" \xff", .mode = Mode::engine, .profile = Profile::engine};
  info.killable = true;
  std::string quoted = "\"";
  for (char c : metadata_text(info))
    quoted += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  auto got = parse_state(state(quoted + "\""));
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_TRUE(got->ours);
  EXPECT_EQ(got->info.mode, Mode::engine);
  EXPECT_EQ(got->info.profile, Profile::engine);
  EXPECT_TRUE(got->info.killable);
}

TEST(StateMessage, AnythingElseIsAForeignProfile) {
  for (const char* metadata :
       {"\"\"", "\"text of another agent\"", "7", "null", "{}", R"("{\"v\":2}")", R"("[1]")",
        R"("{\"v\":1,\"mode\":\"root\",\"profile\":\"full\"}")",
        R"("{\"v\":1,\"mode\":\"map\",\"profile\":7}")", R"("{\"v\":1}")"}) {
    auto got = parse_state(state(metadata));
    ASSERT_TRUE(got) << metadata;
    EXPECT_FALSE(got->ours) << metadata;
    EXPECT_EQ(got->info.id, "c0ffee");
    EXPECT_EQ(got->info.mode, Mode::slot);
    EXPECT_EQ(got->info.profile, Profile::full);
  }
}

TEST(StateMessage, TheListenerIsTheOneThatIsNamed) {
  auto got = parse_state(R"({"fds":["other","seccompFd"],"pid":5,"state":{"pid":0}})");
  ASSERT_TRUE(got);
  EXPECT_EQ(got->listener, 1u);
  EXPECT_EQ(got->info.pid, 5) << "crun does not tell the container's when a process joins it";
  EXPECT_EQ(got->info.id, "unnamed");
}

TEST(StateMessage, NonsenseIsRefused) {
  for (const char* text :
       {"", "{", "[]", "7", "{}", R"({"fds":7})", R"({"fds":[]})", R"({"fds":["x",7]})",
        R"({"fds":["seccompFd"])", R"({"fds":["seccompFd"]} trailing)"})
    EXPECT_FALSE(parse_state(text)) << text;
  EXPECT_FALSE(parse_state(std::string(kMostState + 1, ' ')));
  std::string deep(1 << 19, '[');
  EXPECT_FALSE(parse_state(R"({"fds":["seccompFd"],"x":)" + deep));
  EXPECT_FALSE(parse_state(R"({"fds":["seccompFd"],"x":)" + std::string(100, '[') +
                           std::string(100, ']') + "}"));
}

TEST(StateMessage, NumbersAreTakenForWhatTheyAre) {
  for (const char* pid : {"-1", "1e99", "99999999999", "\"7\"", "1.5", "null", "true"}) {
    auto got =
        parse_state(R"({"fds":["seccompFd"],"state":{"id":"x","pid":)" + std::string(pid) + "}}");
    ASSERT_TRUE(got) << pid;
    EXPECT_EQ(got->info.pid, 0) << pid;
  }
}

TEST(StateMessage, AnEndlessNameIsNone) {
  auto got =
      parse_state(R"({"fds":["seccompFd"],"state":{"id":")" + std::string(100000, 'x') + "\"}}");
  ASSERT_TRUE(got);
  EXPECT_EQ(got->info.id, "unnamed");
}

}  // namespace
}  // namespace seccomp
