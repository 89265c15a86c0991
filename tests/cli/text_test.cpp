#include <gtest/gtest.h>

#include "cli/status_text.hpp"
#include "cli/table.hpp"

namespace {

using Json = nlohmann::json;

TEST(Table, AlignsByCharactersNotBytes) {
  cli::Table table({"N", "<NAME", "<LAST"});
  table.add({"1", "\xc3\xa4", "x"});
  table.add({"100", "bb", ""});
  EXPECT_EQ(table.text(), "  N  NAME  LAST\n  1  \xc3\xa4     x\n100  bb\n");
}

TEST(Printable, LetsNothingThroughThatMovesACursor) {
  EXPECT_EQ(cli::printable("a b\xc3\xbc"), "a b\xc3\xbc");
  EXPECT_EQ(cli::printable("\x1b]0;x\x07\n\x7f"), "\\x1b]0;x\\x07\\x0a\\x7f");
  EXPECT_EQ(cli::printable("\xc2\x9b"), "\\xc2\\x9b") << "CSI in one character";
  EXPECT_EQ(cli::printable("\xe2\x80\xae"), "\\xe2\\x80\\xae") << "right to left";
  EXPECT_EQ(cli::printable("\xff\xc3"), "\\xff\\xc3");
}

TEST(Duration, InTwoUnits) {
  EXPECT_EQ(cli::duration(0.045), "45 ms");
  EXPECT_EQ(cli::duration(4.25), "4.2 s");
  EXPECT_EQ(cli::duration(125), "2 min 5 s");
  EXPECT_EQ(cli::duration(3 * 3600 + 60), "3 h 1 min");
  EXPECT_EQ(cli::duration(2 * 86400 + 3600), "2 d 1 h");
  EXPECT_EQ(cli::duration(-1), "?");
  EXPECT_FALSE(cli::duration(1e300).empty());
  EXPECT_EQ(cli::bytes(1536), "1.5 KiB");
}

// A daemon of another version, or one that lies: every field missing or of another type.
TEST(StatusText, BelievesNothing) {
  const Json strange[] = {nullptr,
                          1,
                          "text",
                          Json::array({1, nullptr, Json::array()}),
                          Json::object(),
                          {{"mounts", 7}},
                          {{"mounts", {nullptr, 1, "x"}}},
                          {{"slots", {{"uid", {{"second_choice", {1, "x", nullptr}}}}}}},
                          {{"requests", {{{"path", 1}, {"seconds", "x"}}}}},
                          {{"applied", {1}}, {"kept", "x"}},
                          {{"control", {{"socket", 1}}}}};
  for (const Json& json : strange)
    for (auto text : {cli::status_text, cli::mounts_text, cli::inflight_text, cli::reload_text})
      EXPECT_TRUE(text(json).ends_with("\n")) << json;
}

TEST(StatusText, NamesSlotsThatAreNotTheFirstChoice) {
  Json uid = {{"used", 3},
              {"window", 999},
              {"second_choices", 1},
              {"strangers", 2},
              {"nobody", 2000},
              {"some_strangers", {7000, 7001}},
              {"second_choice", {{{"id", 60000}, {"slot", 1634}}}}};
  std::string text = cli::status_text({{"slots", {{"uid", uid}, {"gid", {{"full_map", true}}}}}});
  EXPECT_NE(text.find("uids: 3 of 999 live slots given, 1 not the first choice (60000 as 1634); "
                      "2 strangers shown as 2000 (7000, 7001)\n"),
            text.npos)
      << text;
  EXPECT_NE(text.find("gids: the namespace maps all of them\n"), text.npos) << text;
}

}  // namespace
