#include "base/bytes.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "base/fd.hpp"

namespace base {
namespace {

std::span<const std::byte> bytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

TEST(Reader, TakesInOrderAndStopsAtTheEnd) {
  std::string text("\x01\x02\x03\x04name\0rest", 13);
  Reader reader(bytes(text));
  EXPECT_EQ(reader.take<std::uint32_t>(), 0x04030201u);
  EXPECT_EQ(reader.take_string(), "name");
  EXPECT_EQ(reader.take_bytes(3)->size(), 3u);
  EXPECT_EQ(reader.rest().size(), 1u);
  EXPECT_FALSE(reader.take<std::uint16_t>());
  EXPECT_FALSE(reader.take<std::uint8_t>()) << "a short buffer makes every later take fail";
  EXPECT_FALSE(reader.take_bytes(0) && !reader.rest().empty());
}

TEST(Reader, StringsNeedTheirNul) {
  std::string text("no end");
  Reader reader(bytes(text));
  EXPECT_FALSE(reader.take_string());
  EXPECT_FALSE(Reader({}).take_string());
  std::string empty("\0", 1);
  EXPECT_EQ(Reader(bytes(empty)).take_string(), "");
}

TEST(Reader, CountsBeyondTheBuffer) {
  std::string text("1234");
  EXPECT_FALSE(Reader(bytes(text)).take_bytes(5));
  EXPECT_FALSE(Reader(bytes(text)).take_bytes(~std::size_t{0}));
  EXPECT_TRUE(Reader(bytes(text)).take_bytes(4));
  EXPECT_FALSE(Reader({}).take<std::uint8_t>());
}

TEST(Fd, ClosesOnceAndMoves) {
  int raw = ::dup(0);
  Fd first(raw);
  Fd second(std::move(first));
  EXPECT_FALSE(first.valid());
  EXPECT_EQ(second.get(), raw);
  int other = ::dup(0);
  {
    Fd third(other);
    third = std::move(second);
    EXPECT_EQ(third.get(), raw);
  }
  EXPECT_EQ(::dup2(raw, raw), -1) << "still open";
  second.reset();
  EXPECT_EQ(::dup2(other, other), -1) << "still open";
}

}  // namespace
}  // namespace base
