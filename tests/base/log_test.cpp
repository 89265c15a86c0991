#include "base/log.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <vector>

#include "base/fd.hpp"

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
  Limiter limiter(3, 1);
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

/// What a flood leaves on the disk in a day is bounded by the pause, not by the burst.
TEST(Limiter, AFloodOfADayIsABurstAndALineAPause) {
  Limiter limiter(10, 10);
  int passed = 0;
  for (std::uint64_t second = 5; second < 5 + 86400; ++second)
    for (int i = 0; i < 3; ++i) passed += limiter.admit(second);
  EXPECT_GE(passed, 8640);
  EXPECT_LE(passed, 8640 + 10);
  EXPECT_EQ(limiter.suppressed(), 3u * 86400 - static_cast<unsigned>(passed));
}

TEST(Limiter, QuietTimeFillsItAgainAndNoFurther) {
  Limiter limiter(4, 10);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(limiter.admit(1000));
  EXPECT_FALSE(limiter.admit(1009));
  EXPECT_TRUE(limiter.admit(1010));
  EXPECT_FALSE(limiter.admit(1019));
  int passed = 0;
  for (int i = 0; i < 10; ++i) passed += limiter.admit(1'000'000);
  EXPECT_EQ(passed, 4);
}

class Lines : public ::testing::Test {
 protected:
  void SetUp() override {
    set_sink([this](Level, std::string_view text) { written.emplace_back(text); });
  }
  void TearDown() override {
    set_sink({});
    set_level(Level::info);
  }
  std::vector<std::string> written;
};

TEST_F(Lines, LimitedSayHowManyWereHeldBack) {
  Limiter limiter(2, 1000);
  std::uint64_t before = suppressed_lines();
  for (int i = 0; i < 100'000; ++i)
    limited(limiter, Level::warning, "flood", "n=" + std::to_string(i));
  EXPECT_EQ(written, (std::vector<std::string>{"event=flood n=0", "event=flood n=1"}));
  EXPECT_EQ(suppressed_lines() - before, 99'998u);
  settle(limiter, Level::warning, "flood", "over");
  settle(limiter, Level::warning, "flood", "over");
  ASSERT_EQ(written.size(), 3u);
  EXPECT_EQ(written[2], "event=flood over suppressed=99998");
}

TEST_F(Lines, NoEventFloodsWhoeverForgotItsLimiter) {
  for (int i = 0; i < 100'000; ++i) line(Level::info, "unlimited.flood");
  EXPECT_GE(written.size(), 500u);
  EXPECT_LE(written.size(), 520u);  // as many more as this took seconds
  std::size_t before = written.size();
  line(Level::info, "other.event");
  EXPECT_EQ(written.size(), before + 1) << "one event's flood does not hide another";
  for (int i = 0; i < 1000; ++i) report(Level::info, "asked.for");
  EXPECT_EQ(written.size(), before + 1001);
  for (int i = 0; i < 1000; ++i) line(Level::debug, "hidden");
  EXPECT_EQ(written.size(), before + 1001);
  set_level(Level::debug);
  for (int i = 0; i < 1000; ++i) line(Level::debug, "traced");
  EXPECT_EQ(written.size(), before + 2001);
}

/// A child, since it leads stderr elsewhere.
TEST(Journal, LinesHaveAPriorityAndNoTime) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], 2);
    struct stat st;
    ::fstat(2, &st);
    std::string stream = std::to_string(st.st_dev) + ":" + std::to_string(st.st_ino);
    ::setenv("JOURNAL_STREAM", stream.c_str(), 1);
    (void)set_file("");
    line(Level::info, "one");
    line(Level::error, "two", "name=" + quoted("a\n<0>b"));
    ::setenv("JOURNAL_STREAM", "1:1", 1);
    (void)set_file("");
    line(Level::warning, "three");
    ::_exit(0);
  }
  base::Fd write_end(ends[1]), read_end(ends[0]);
  write_end.reset();
  ::waitpid(child, nullptr, 0);
  char bytes[1000];
  ssize_t got = ::read(read_end.get(), bytes, sizeof bytes);
  ASSERT_GT(got, 0);
  std::string text(bytes, static_cast<std::size_t>(got));
  EXPECT_EQ(text.find("<6>event=one\n<3>event=two name=\"a\\x0a<0>b\"\n2"), 0u) << text;
  EXPECT_NE(text.find(" warning event=three\n"), std::string::npos) << text;
}

TEST(Level, NamesAndThreshold) {
  for (const char* name : {"debug", "info", "warning", "error"})
    EXPECT_EQ(level_name(parse_level(name).value()), name);
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
