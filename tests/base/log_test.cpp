#include "base/log.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <vector>

namespace base::log {
namespace {

TEST(Quoted, NothingFromOutsideEndsALine) {
  using namespace std::string_view_literals;
  EXPECT_EQ(quoted("plain"), "\"plain\"");
  EXPECT_EQ(quoted(""), "\"\"");
  EXPECT_EQ(quoted("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(quoted("line\nevent=forged\t\x7f\x1b[2J\0z"sv),
            "\"line\\x0aevent=forged\\x09\\x7f\\x1b[2J\\x00z\"");
  EXPECT_EQ(quoted("\xc3\xa4"), "\"\xc3\xa4\"");
  EXPECT_LE(log::quoted(std::string(100'000, 'x')).size(), 4098u);
}

TEST(Limiter, BurstAndCount) {
  Limiter limiter(3);
  int passed = 0;
  for (int i = 0; i < 10; ++i) passed += limiter.admit(100);
  EXPECT_EQ(passed, 3);
  EXPECT_EQ(limiter.take_suppressed(), 7u);
  EXPECT_EQ(limiter.take_suppressed(), 0u);
  EXPECT_FALSE(limiter.admit(100));
  EXPECT_TRUE(limiter.admit(101));
  EXPECT_EQ(limiter.take_suppressed(), 1u);
  EXPECT_FALSE(Limiter(0).admit(1));
}

TEST(Level, NamesAndThreshold) {
  for (const char* name : {"debug", "info", "warning", "error"}) EXPECT_TRUE(parse_level(name));
  auto wrong = parse_level("warn\n");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("\"warn\\x0a\""), std::string::npos);
  std::vector<std::string> lines;
  set_sink([&](Level, std::string_view text) { lines.emplace_back(text); });
  set_level(Level::warning);
  line(Level::info, "not.this");
  line(Level::error, "this", "key=1");
  line(Level::warning, "bare");
  set_sink({});
  set_level(Level::info);
  EXPECT_EQ(lines, (std::vector<std::string>{"event=this key=1", "event=bare"}));
}

TEST(File, IsAppendedToAndPrivate) {
  std::string path = "/tmp/uni-log.XXXXXX";
  ASSERT_GE(::mkstemp(path.data()), 0);
  ::unlink(path.c_str());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(set_file(path));
    line(Level::info, "written", "n=" + std::to_string(i));
  }
  set_silent();
  line(Level::error, "lost");
  ASSERT_TRUE(set_file(""));
  struct stat st;
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
  std::ifstream file(path);
  std::string first, second, none;
  std::getline(file, first);
  std::getline(file, second);
  EXPECT_NE(first.find("event=written n=0"), std::string::npos);
  EXPECT_NE(second.find("event=written n=1"), std::string::npos);
  EXPECT_FALSE(std::getline(file, none));
  ::unlink(path.c_str());
  auto refused = set_file("/dev/null/log");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("/dev/null/log"), std::string::npos);
}

}  // namespace
}  // namespace base::log
