#include "config/show.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace config {
namespace {

TEST(Show, WhatIsShownIsReadBack) {
  Settings settings;
  settings.config.log.file = "/a \"quoted\"\\ \n\x01 path";
  settings.config.fuse.timeout = 0.25;
  settings.config.overlay.redirect_dir = false;
  for (bool origins : {false, true}) {
    auto const again = load_toml(as_toml(settings, origins), "shown");
    ASSERT_TRUE(again) << again.error().message;
    Config::fields(settings.config, [&](std::string_view key, auto const&, auto, auto const&) {
      EXPECT_EQ(field_text(*again, key), field_text(settings.config, key)) << key;
    });
  }
}

TEST(Show, TheOriginIsTheLineThatWon) {
  Settings settings;
  read_toml("[fuse]\ntimeout = 1\n\nmax_write = 8192\n", "/a.toml", settings);
  read_toml("fuse.timeout = 2", "/b.toml", settings);
  EXPECT_EQ(settings.origins.at("fuse.timeout"), "/b.toml:1");
  EXPECT_EQ(settings.origins.at("fuse.max_write"), "/a.toml:4");
  std::string const text = as_toml(settings, true);
  EXPECT_NE(text.find("\nmax_write = 8192                    # /a.toml:4\n"), text.npos) << text;
  EXPECT_NE(text.find("# built-in\n"), text.npos);
}

TEST(Show, EveryProblemIsToldInTheOrderOfTheLines) {
  Settings settings;
  read_toml("[log]\nlevel = 'loud'\nfiel = ''\n[fuse]\ntimeout = 'x'\n[bogus]\nmax_write = 1\n",
            "/a.toml", settings);
  ASSERT_EQ(settings.problems.size(), 4u);
  EXPECT_EQ(settings.problems[0].find("/a.toml:2: log.level = \"loud\""), 0u);
  EXPECT_EQ(settings.problems[1],
            "/a.toml:3: unknown key \"log.fiel\"; did you mean \"log.file\"?");
  EXPECT_EQ(settings.problems[2].find("/a.toml:5: fuse.timeout"), 0u);
  EXPECT_EQ(settings.problems[3].find("/a.toml:7: unknown key \"bogus.max_write\""), 0u);
  EXPECT_TRUE(settings.origins.empty()) << "a refused value has no origin";
}

TEST(Show, TheExampleSaysEverythingAndChangesNothing) {
  std::string const text = example_toml();
  Settings settings;
  read_toml(text, "example", settings);
  EXPECT_TRUE(settings.problems.empty()) << settings.problems.front();
  EXPECT_TRUE(settings.origins.empty()) << "nothing is set";
  std::string uncommented, line;
  for (std::istringstream lines(text); std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100u) << line;
    bool const setting = line.size() > 1 && line[0] == '#' && line[1] != ' ';
    uncommented += (setting ? line.substr(1) : line) + "\n";
  }
  read_toml(uncommented, "uncommented", settings);
  EXPECT_TRUE(settings.problems.empty()) << settings.problems.front();
  Config const c;
  Config::fields(c, [&](std::string_view key, auto const&, auto, auto const&) {
    EXPECT_EQ(settings.origins.count(key), 1u) << key << " is not in the example";
    EXPECT_EQ(field_text(settings.config, key), field_text(c, key)) << key;
  });
}

}  // namespace
}  // namespace config
