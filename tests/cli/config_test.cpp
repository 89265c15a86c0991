// `usernetes-identity config` as a process: exit codes, messages, which source wins.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/cli/program.hpp"

namespace {

class ConfigVerb : public testing::Test {
 protected:
  void write(const std::string& text) {
    std::filesystem::create_directories(home_.path() / ".config/usernetes-identity");
    std::ofstream(file()) << text;
  }
  std::string file() const { return home_.path() / ".config/usernetes-identity/config.toml"; }
  Ended config(std::vector<std::string> words, std::vector<std::string> environment = {}) {
    words.insert(words.begin(), "config");
    environment.push_back("HOME=" + home_.path().string());
    return run_program(words, environment);
  }

  TemporaryDirectory home_;
};

TEST_F(ConfigVerb, ShowNamesTheOriginOfEachValue) {
  write("[fuse]\n\nmax_write = 8192\nmax_background = 10\n");
  auto shown = config({"show", "--origin", "--set", "fuse.timeout=3", "--set=log.level=error"},
                      {"USERNETES_IDENTITY_FUSE_MAX_BACKGROUND=20"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  auto line = [&](const std::string& value, const std::string& origin) {
    std::size_t at = shown.out.find("\n" + value + " ");
    if (at == shown.out.npos) return "no line: " + value;
    std::string text = shown.out.substr(at + 1, shown.out.find('\n', at + 1) - at - 1);
    return text.ends_with("  # " + origin) ? std::string() : text;
  };
  EXPECT_EQ(line("max_write = 8192", file() + ":3"), "");
  EXPECT_EQ(
      line("max_background = 20", "environment variable USERNETES_IDENTITY_FUSE_MAX_BACKGROUND"),
      "");
  EXPECT_EQ(line("timeout = 3", "--set"), "");
  EXPECT_EQ(line("level = \"error\"", "--set"), "");
  EXPECT_EQ(line("rule = 2", "built-in"), "");
}

TEST_F(ConfigVerb, ShowAsJson) {
  write("log.file = '/x\\y'");
  auto shown = config({"show", "--json"});
  auto json = nlohmann::json::parse(shown.out);
  EXPECT_EQ(json["log.file"]["value"], "/x\\y");
  EXPECT_EQ(json["log.file"]["origin"], file() + ":1");
  EXPECT_EQ(json["fuse.writeback"]["value"], true);
  EXPECT_EQ(json["fuse.writeback"]["origin"], "built-in");
}

TEST_F(ConfigVerb, CheckNamesEveryProblem) {
  write("fuse.tiemout = 1\nfuse.max_write = 1\n");
  auto checked = config({"check"}, {"USERNETES_IDENTITY_LOG_LEVEL=loud"});
  EXPECT_EQ(checked.code, 1);
  EXPECT_EQ(checked.err,
            file() + ":1: unknown key \"fuse.tiemout\"; did you mean \"fuse.timeout\"?\n" + file() +
                ":2: fuse.max_write = 1 is not allowed; allowed: 4096 .. 1048576\n"
                "environment variable USERNETES_IDENTITY_LOG_LEVEL: log.level = \"loud\" is not "
                "allowed; allowed: debug, info, warning, error\n");
  auto alone = config({"check", file(), "/nonexistent.toml"});
  EXPECT_EQ(alone.code, 1);
  EXPECT_NE(alone.err.find("/nonexistent.toml: does not exist"), alone.err.npos) << alone.err;
  write("");
  checked = config({"check"});
  EXPECT_EQ(checked.code, 0) << checked.err;
  EXPECT_EQ(config({"check", file()}).out, file() + ": ok\n");
}

TEST_F(ConfigVerb, PathNamesTheUsersFileLast) {
  auto paths = config({"path"});
  EXPECT_EQ(paths.code, 0);
  EXPECT_TRUE(paths.out.ends_with(file() + "\t(not there)\n")) << paths.out;
  write("");
  EXPECT_TRUE(config({"path"}).out.ends_with(file() + "\n"));
}

TEST_F(ConfigVerb, WrongWordsAreRefused) {
  EXPECT_EQ(config({}).code, 2);
  EXPECT_EQ(config({"shwo"}).code, 2);
  auto refused = config({"show", "--set", "nonsense"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(refused.err, "--set nonsense: not of the form section.key=value\n");
}

}  // namespace
