// Files of a bundle that somebody has prepared for us.
#include "runtime/json_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace {

using testing::HasSubstr;

class JsonFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/bundle.XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string at(const std::string& name) const { return directory_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(at(name)) << text;
  }
  std::string refusal(const std::string& name) const {
    auto read = oci::read_regular(at(name));
    return read ? "read" : read.error().message;
  }
  std::string directory_;
};

std::string parse(const std::string& text) {
  auto json = oci::parse_object(text, "x.json");
  return json ? oci::json_text(*json) : json.error().message;
}

TEST_F(JsonFile, OnlyRegularFilesAreRead) {
  write("real", "{}");
  EXPECT_EQ(refusal("real"), "read");
  std::filesystem::create_symlink("real", at("link"));
  EXPECT_THAT(refusal("link"), HasSubstr("/link: is a symbolic link, which is not followed"));
  ASSERT_EQ(::mkfifo(at("fifo").c_str(), 0600), 0);
  EXPECT_THAT(refusal("fifo"), HasSubstr("/fifo: is not a regular file"));
  EXPECT_THAT(refusal("."), HasSubstr("is not a regular file"));
  EXPECT_THAT(refusal("none"), HasSubstr("/none: No such file"));
}

TEST_F(JsonFile, AHugeFileIsNotRead) {
  write("huge", "{");
  ASSERT_EQ(::truncate(at("huge").c_str(), 1ll << 40), 0);
  EXPECT_THAT(refusal("huge"), HasSubstr("/huge: more than 16777216 bytes"));
}

TEST_F(JsonFile, ReplacingKeepsModeAndLeavesNothing) {
  write("config.json", "old");
  ASSERT_EQ(::chmod(at("config.json").c_str(), 0640), 0);
  auto file = oci::read_regular(at("config.json"));
  ASSERT_TRUE(file);
  file->text = "new";
  ASSERT_TRUE(oci::replace_file(at("config.json"), *file));
  auto again = oci::read_regular(at("config.json"));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->text, "new");
  EXPECT_EQ(again->mode & 07777, 0640u);
  auto files = std::filesystem::directory_iterator(directory_);
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

TEST_F(JsonFile, ALinkPlantedAtTheTemporaryNameIsNotFollowed) {
  write("config.json", "old");
  write("victim", "precious");
  std::filesystem::create_symlink(
      "victim", at("config.json.usernetes-identity." + std::to_string(::getpid())));
  auto file = oci::read_regular(at("config.json"));
  ASSERT_TRUE(file);
  file->text = "new";
  EXPECT_TRUE(oci::replace_file(at("config.json"), *file));
  EXPECT_EQ(oci::read_regular(at("victim"))->text, "precious");
}

TEST(JsonText, NumbersStayAsTheyAre) {
  std::string text = R"({"a":18446744073709551615,"b":-9223372036854775808,"c":0,"d":1.5})";
  EXPECT_EQ(parse(text), text);
}

TEST(JsonText, WhatIsNoObjectIsRefused) {
  EXPECT_EQ(parse("[]"), "x.json: is not a JSON object");
  EXPECT_EQ(parse(""), "x.json: is not valid JSON");
  EXPECT_EQ(parse("{\"a\":1"), "x.json: is not valid JSON");
  EXPECT_EQ(parse("{\"a\":\"\xff\"}"), "x.json: is not valid JSON");
  EXPECT_EQ(parse("{\"a\":1e999}"), "x.json: is not valid JSON");
  EXPECT_EQ(parse("{} {}"), "x.json: is not valid JSON");
}

TEST(JsonText, AKeyThatStandsTwiceIsRefused) {
  EXPECT_EQ(parse(R"({"linux":{},"linux":{"namespaces":[]}})"),
            "x.json: the key \"linux\" stands twice in one object");
  EXPECT_EQ(parse(R"({"a":{"u":1},"b":[{"u":2},{"u":3}]})"),
            R"({"a":{"u":1},"b":[{"u":2},{"u":3}]})");
  EXPECT_EQ(parse(R"({"a":{"u":1,"u":2}})"), "x.json: the key \"u\" stands twice in one object");
}

TEST(JsonText, DepthAndNumberOfValuesAreBounded) {
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "{\"a\":";
  EXPECT_EQ(parse(deep), "x.json: more than 64 levels within each other");
  EXPECT_EQ(parse("{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}"),
            "x.json: more than 64 levels within each other");
  std::string many = "{\"a\":[0";
  for (int i = 0; i < 2000000; ++i) many += ",0";
  EXPECT_EQ(parse(many + "]}"), "x.json: more than 1048576 values");
  EXPECT_EQ(parse("{\"a\":\"" + std::string(200, '[') + "\\\"" + std::string(200, '{') + "\"}"),
            "{\"a\":\"" + std::string(200, '[') + "\\\"" + std::string(200, '{') + "\"}");
}

}  // namespace
