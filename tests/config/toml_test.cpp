#include "config/toml.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace config {
namespace {

TEST(Toml, AnEmptyTextChangesNothing) {
  auto const c = load_toml("", "x.toml");
  ASSERT_TRUE(c);
  EXPECT_EQ(c->fuse.max_write, Config{}.fuse.max_write);
  EXPECT_EQ(c->identity.window_first, 1000u);
}

TEST(Toml, EachTypeIsRead) {
  auto const c = load_toml(
      "[log]\nlevel = 'debug'\n[identity]\nrule = 1\ncollisions = \"share\"\n"
      "[overlay]\nredirect_dir = false\n[fuse]\ntimeout = 1\n",
      "x.toml");
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->log.level, "debug");
  EXPECT_EQ(rule(*c), identity::Rule::seed);
  EXPECT_EQ(collisions(*c), identity::Collisions::share);
  EXPECT_FALSE(c->overlay.redirect_dir);
  EXPECT_EQ(c->fuse.timeout, 1.0);
  EXPECT_EQ(load_toml("fuse.timeout = 0.5", "x", *c)->fuse.timeout, 0.5);
  EXPECT_EQ(load_toml("fuse.timeout = 0.5", "x", *c)->log.level, "debug") << "defaults are kept";
}

struct BadToml {
  char const* name;
  char const* text;
  char const* message;
};
class TomlRefuses : public testing::TestWithParam<BadToml> {};

TEST_P(TomlRefuses, NamingFileLineAndWhatIsAllowed) {
  auto const c = load_toml(GetParam().text, "/etc/x.toml");
  ASSERT_FALSE(c);
  EXPECT_NE(c.error().message.find(GetParam().message), std::string::npos) << c.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    texts, TomlRefuses,
    testing::Values(
        BadToml{"unknown_key", "[fuse]\n\nbogus = 1\n",
                "/etc/x.toml:3: unknown key \"fuse.bogus\"; allowed: log.level, "},
        BadToml{"unknown_section", "\n[fuze]\ntimeout = 1\n", ":3: unknown key \"fuze.timeout\""},
        BadToml{"empty_unknown_section", "\n[fuze]\n", ":2: unknown key \"fuze\""},
        BadToml{"top_level", "timeout = 1\n", ":1: unknown key \"timeout\""},
        BadToml{"section_as_value", "fuse = 1\n", ":1: unknown key \"fuse\""},
        BadToml{"wrong_type", "[overlay]\nredirect_dir = \"yes\"\n",
                "/etc/x.toml:2: overlay.redirect_dir = \"yes\" is not allowed; allowed: true or "
                "false"},
        BadToml{"string_for_number", "fuse.timeout = '1'", "allowed: 0 .. 1000000000"},
        BadToml{"bool_for_number", "identity.rule = true", "allowed: 1 .. 2"},
        BadToml{"fraction", "fuse.max_write = 4096.5", "allowed: 4096 .. 1048576"},
        BadToml{"too_large", "[identity]\nrule = 3", ":2: identity.rule = 3 is not allowed"},
        BadToml{"negative", "fuse.max_background = -1", "= -1 is not allowed"},
        BadToml{"nan", "fuse.timeout = nan", "allowed: 0 .. 1000000000"},
        BadToml{"inf", "fuse.timeout = inf", "allowed: 0 .. 1000000000"},
        BadToml{"word", "log.level = 'loud'", "allowed: debug, info, warning, error"},
        BadToml{"part_of_a_word", "log.level = 'in'", "not allowed"},
        BadToml{"two_words", "log.level = 'info|error'", "not allowed"},
        BadToml{"array", "log.level = ['info']", "log.level is an array; allowed: debug"},
        BadToml{"table", "[fuse.timeout]\nx = 1", "fuse.timeout is a table"},
        BadToml{"date", "log.level = 1979-05-27", "log.level is a date or time"},
        BadToml{"syntax", "[fuse]\ntimeout = = 1\n", "/etc/x.toml:2: "},
        BadToml{"twice", "fuse.timeout = 1\nfuse.timeout = 2", "/etc/x.toml:2: "},
        BadToml{"not_utf8", "log.file = '\xff'", "/etc/x.toml:1: "},
        BadToml{"backwards", "identity.window_first = 1500\nidentity.window_last = 1400",
                "identity.window_first = 1500 is above identity.window_last = 1400"}),
    [](auto const& row) { return std::string(row.param.name); });

TEST(Toml, DeepNestingIsRefusedNotFatal) {
  EXPECT_FALSE(load_toml("log.level = " + std::string(100000, '['), "x"));
  EXPECT_FALSE(load_toml(std::string(1 << 20, 'a'), "x"));
}

class Sourced : public testing::Test {
 protected:
  Sourced() {
    std::string name = (std::filesystem::temp_directory_path() / "uni-config-XXXXXX").string();
    directory_ = ::mkdtemp(name.data());
    sources_.system_dir = directory_ / "etc";
    sources_.user_file = directory_ / "user.toml";
  }
  ~Sourced() override { std::filesystem::remove_all(directory_); }
  void write(std::string const& name, std::string const& text) {
    std::filesystem::create_directories((directory_ / name).parent_path());
    std::ofstream(directory_ / name) << text;
  }
  std::string message() { return load_config(sources_).error().message; }

  std::filesystem::path directory_;
  Sources sources_;
};

TEST_F(Sourced, MissingFilesAreFine) {
  EXPECT_TRUE(load_config(sources_));
}

TEST_F(Sourced, TheLaterSourceWins) {
  write("etc/20.toml", "fuse.timeout = 20\nfuse.max_background = 20\noverlay.dirfd_cache = 20");
  write("etc/10.toml", "fuse.timeout = 10\nlog.level = 'warning'");
  write("etc/30.toml.off", "fuse.timeout = 30");
  write("user.toml", "fuse.max_background = 40\noverlay.dirfd_cache = 40");
  sources_.environment = {{"USERNETES_IDENTITY_OVERLAY_DIRFD_CACHE", "50"},
                          {"USERNETES_IDENTITY_BINARY", "/x"},
                          {"USERNETES_IDENTITY_TEST_MODE", "1"}};
  auto const c = load_config(sources_);
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->log.level, "warning");
  EXPECT_EQ(c->fuse.timeout, 20);
  EXPECT_EQ(c->fuse.max_background, 40u);
  EXPECT_EQ(c->overlay.dirfd_cache, 50u);
}

TEST_F(Sourced, TheWindowMayBeSetByTwoFiles) {
  write("etc/10.toml", "identity.window_first = 3000");
  EXPECT_NE(message().find("is above"), std::string::npos);
  write("etc/20.toml", "identity.window_last = 4000");
  EXPECT_TRUE(load_config(sources_));
}

TEST_F(Sourced, AMessageNamesTheSource) {
  write("etc/10.toml", "\nbogus = 1");
  EXPECT_EQ(message().find((directory_ / "etc/10.toml").string() + ":2: unknown key"), 0u);
  write("etc/10.toml", "");
  sources_.environment = {{"USERNETES_IDENTITY_FUSE_BOGUS", "1"}};
  EXPECT_EQ(message().find("environment variable USERNETES_IDENTITY_FUSE_BOGUS: unknown key"), 0u);
  sources_.environment = {{"USERNETES_IDENTITY_FUSE_WRITEBACK", "maybe"}};
  EXPECT_NE(message().find("allowed: true or false"), std::string::npos);
}

TEST_F(Sourced, WhatIsNoFileIsRefusedWithoutWaiting) {
  ASSERT_EQ(::mkfifo((directory_ / "user.toml").c_str(), 0600), 0);
  EXPECT_NE(message().find("user.toml: not a regular file"), std::string::npos);
  sources_.user_file = "/dev/zero";
  EXPECT_NE(message().find("/dev/zero: not a regular file"), std::string::npos);
  write("big.toml", std::string((1 << 20) + 1, '\n'));
  sources_.user_file = directory_ / "big.toml";
  EXPECT_NE(message().find("larger than 1 MiB"), std::string::npos);
}

TEST(DefaultSources, FollowTheEnvironment) {
  char const* const home[] = {"HOME=/h", "X=1", "USERNETES_IDENTITY_LOG_LEVEL=debug", nullptr};
  Sources const s = default_sources(home);
  EXPECT_EQ(s.user_file, "/h/.config/usernetes-identity/config.toml");
  ASSERT_EQ(s.environment.size(), 1u);
  EXPECT_EQ(s.environment[0].second, "debug");
  char const* const xdg[] = {"HOME=/h", "XDG_CONFIG_HOME=/c", nullptr};
  EXPECT_EQ(default_sources(xdg).user_file, "/c/usernetes-identity/config.toml");
  char const* const relative[] = {"XDG_CONFIG_HOME=c", nullptr};
  EXPECT_EQ(default_sources(relative).user_file, "");
  EXPECT_EQ(default_sources(nullptr).user_file, "");
}

TEST(Fields, EachOneRoundTripsFromItsText) {
  Config c;
  std::string const table = fields_markdown();
  Config::fields(c, [&](std::string_view key, auto const&, std::string_view help, Allowed const&) {
    EXPECT_TRUE(is_field(key));
    EXPECT_FALSE(allowed_text(key).empty()) << key;
    EXPECT_FALSE(help.empty()) << key;
    EXPECT_EQ(help.find('|'), std::string_view::npos) << "breaks the table: " << key;
    EXPECT_NE(table.find("| `" + std::string(key) + "` | `"), std::string::npos);
  });
  EXPECT_TRUE(set_field(c, "fuse.max_write", Text{"8192"}));
  EXPECT_EQ(c.fuse.max_write, 8192u);
  EXPECT_FALSE(set_field(c, "fuse.max_write", Text{"8192x"}));
  EXPECT_FALSE(set_field(c, "fuse.max_write", Text{""}));
  EXPECT_EQ(c.fuse.max_write, 8192u) << "a refused value changes nothing";
  EXPECT_FALSE(is_field("fuse"));
}

}  // namespace
}  // namespace config
