#include "base/hash.hpp"

#include <gtest/gtest.h>

namespace {

// The vectors of its authors (isthe.com/chongo/tech/comp/fnv): files on disk are named by it.
TEST(Fnv64, IsThePublishedOne) {
  EXPECT_EQ(base::fnv64_hex(""), "cbf29ce484222325");
  EXPECT_EQ(base::fnv64_hex("a"), "af63dc4c8601ec8c");
  EXPECT_EQ(base::fnv64_hex("foobar"), "85944171f73967e8");
}

TEST(Fnv64, TakesBytesAsUnsigned) {
  EXPECT_NE(base::fnv64_hex("\xff"), base::fnv64_hex("\x7f"));
  EXPECT_EQ(base::fnv64_hex(std::string_view("\0", 1)), "af63bd4c8601b7df");
}

}  // namespace
