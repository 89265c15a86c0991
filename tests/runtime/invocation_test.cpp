// Finding verb, bundle and container in the words that engines really use.
#include "runtime/invocation.hpp"

#include <gtest/gtest.h>

namespace {

oci::Invocation read(std::vector<const char*> words) {
  return oci::read_invocation(words);
}

TEST(Invocation, AsPodmanCallsCrun) {
  auto call = read({"--log-format=json", "--log", "/b/oci-log", "--cgroup-manager", "disabled",
                    "create", "--bundle", "/b", "--pid-file", "/b/pid", "abc"});
  EXPECT_EQ(call.verb, "create");
  EXPECT_EQ(call.bundle, "/b");
  EXPECT_EQ(call.id, "abc");
  EXPECT_EQ(call.log, "/b/oci-log");
  EXPECT_EQ(call.log_format, "json");
  EXPECT_TRUE(call.starts());
}

TEST(Invocation, AsContainerdCallsRunc) {
  auto call = read({"--root", "/run/runc/k8s.io", "--log", "/l", "--log-format", "json", "exec",
                    "--process", "/tmp/p", "--detach", "--pid-file", "/x.pid", "web"});
  EXPECT_EQ(call.verb, "exec");
  EXPECT_EQ(call.root, "/run/runc/k8s.io");
  EXPECT_EQ(call.process, "/tmp/p");
  EXPECT_EQ(call.id, "web");
}

TEST(Invocation, EverySpellingOfAValue) {
  for (auto words : std::vector<std::vector<const char*>>{{"run", "-b", "/b", "c"},
                                                          {"run", "-b/b", "c"},
                                                          {"run", "--bundle=/b", "c"},
                                                          {"run", "-bundle", "/b", "c"},
                                                          {"run", "-bundle=/b", "c"},
                                                          {"run", "-b=/b", "c"},
                                                          {"run", "--bund", "/b", "c"},
                                                          {"run", "--bundle", "/b", "--", "c"},
                                                          {"run", "-d", "--keep", "-b", "/b", "c"},
                                                          {"run", "c", "-b", "/b"}}) {
    auto call = read(words);
    EXPECT_EQ(call.bundle, "/b") << words[1];
    EXPECT_EQ(call.id, "c") << words[1];
  }
}

TEST(Invocation, TheValueOfAnOptionIsNoVerb) {
  auto call = read(
      {"--cgroup-manager", "create", "--criu", "run", "--rootless", "exec", "state", "-x", "c"});
  EXPECT_EQ(call.verb, "state");
  EXPECT_EQ(call.id, "c");
}

TEST(Invocation, UnknownOptionsAreFlags) {
  auto call = read({"--new-thing", "--other=x", "create", "--newer", "--newest=y", "-z", "c"});
  EXPECT_EQ(call.verb, "create");
  EXPECT_EQ(call.id, "c");
  EXPECT_EQ(call.bundle, ".");
}

TEST(Invocation, TheCommandOfExecIsNotOurs) {
  auto call = read({"exec", "-u", "60000:42", "-g", "7", "--additional-gids", "8", "-e", "A=b", "c",
                    "sh", "-u", "1", "--process", "/no"});
  EXPECT_EQ(call.user, "60000:42");
  EXPECT_EQ(call.groups, (std::vector<std::string>{"7", "8"}));
  EXPECT_EQ(call.id, "c");
  EXPECT_EQ(call.process, "");
}

TEST(Invocation, FOfDeleteIsForce) {
  auto call = read({"delete", "-f", "c"});
  EXPECT_EQ(call.id, "c");
  EXPECT_EQ(read({"create", "-f", "other.json", "-b", "/b", "c"}).config_path(), "/b/other.json");
}

TEST(Invocation, NothingAtAll) {
  EXPECT_EQ(read({}).verb, "");
  EXPECT_EQ(read({"--version"}).verb, "");
  EXPECT_EQ(read({"create", "--bundle"}).bundle, "");
  EXPECT_EQ(read({"create", "-"}).id, "-");
  EXPECT_TRUE(read({"--debug", "create", "c"}).debug);
}

}  // namespace
