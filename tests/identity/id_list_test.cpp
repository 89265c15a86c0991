#include "identity/id_list.hpp"

#include <gtest/gtest.h>

namespace {

using identity::Id;
using identity::parse_id_list;

TEST(IdList, ReadsIdsAndRangesInTheirOrder) {
  EXPECT_EQ(*parse_id_list("60000,70000-70002"), (std::vector<Id>{60000, 70000, 70001, 70002}));
  EXPECT_EQ(*parse_id_list(" 7 , 3\n3 5-5,"), (std::vector<Id>{7, 3, 5}));
  EXPECT_TRUE(parse_id_list("")->empty());
  EXPECT_EQ(*parse_id_list("4294967293-4294967294"), (std::vector<Id>{4294967293, 4294967294}));
}

TEST(IdList, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> kWrong[] = {
      {"60000;1", "\"60000;1\" is not an id"},
      {"-1", "\"\" is not an id"},
      {"5-", "\"\" is not an id"},
      {"9-3", "\"9-3\" ends before it begins"},
      {"1.5", "\"1.5\" is not an id"},
      {"0x10", "is not an id"},
      {"4294967295", "leave unchanged"},
      {"18446744073709551616", "is not an id from 0 to 4294967294"},
      {"0-65536", "more than 65536 ids"},
      {"0-4294967294", "more than 65536 ids"},
      {"0-40000,100000-140000", "more than 65536 ids"},
  };
  for (auto [text, message] : kWrong) {
    auto ids = parse_id_list(text);
    ASSERT_FALSE(ids) << text;
    EXPECT_NE(ids.error().message.find(message), std::string::npos) << ids.error().message;
  }
  EXPECT_EQ(parse_id_list("0-65535")->size(), 65536u);
}

TEST(IdList, FoldsRuns) {
  EXPECT_EQ(identity::format_id_list({0, 1000, 1001, 1002, 60000}), "0,1000-1002,60000");
  EXPECT_EQ(identity::format_id_list({}), "");
}

}  // namespace
