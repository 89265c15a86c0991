#include "seccomp/acl_value.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <utility>
#include <vector>

namespace {

using Words = std::vector<std::uint32_t>;  // a version, then (tag | permissions << 16, id)

std::vector<std::byte> bytes_of(const Words& words) {
  auto bytes = std::as_bytes(std::span(words));
  return {bytes.begin(), bytes.end()};
}

identity::Id shifted(bool group, identity::Id id) {
  return id + (group ? 100 : 10);
}

constexpr std::uint32_t kNone = 0xffffffff;  // what entries without an id have

TEST(AclValue, OnlyEntriesWithAnIdChange) {
  auto value = bytes_of({2, 0x60001, kNone, 0x60002, 1000, 0x50004, kNone, 0x50008, 2000, 0x70010,
                         kNone, 0x40020, kNone});
  EXPECT_TRUE(seccomp::translate_acl(value, shifted));
  EXPECT_EQ(value, bytes_of({2, 0x60001, kNone, 0x60002, 1010, 0x50004, kNone, 0x50008, 2100,
                             0x70010, kNone, 0x40020, kNone}));
}

TEST(AclValue, SaysWhetherAnythingDiffers) {
  auto plain = bytes_of({2, 0x60001, kNone, 0x50004, kNone, 0x40020, kNone});
  EXPECT_FALSE(seccomp::translate_acl(plain, shifted));
  auto same = bytes_of({2, 0x60002, 7});
  EXPECT_FALSE(seccomp::translate_acl(same, [](bool, identity::Id id) { return id; }));
}

TEST(AclValue, WhatIsNoneIsLeftAlone) {
  for (const Words& words : {Words{}, Words{2}, Words{3, 0x60002, 7}, Words{2, 0x60002}}) {
    auto value = bytes_of(words);
    const auto before = value;
    EXPECT_FALSE(seccomp::translate_acl(value, shifted));
    EXPECT_EQ(value, before);
  }
  auto odd = bytes_of({2, 0x60002, 7});
  odd.push_back(std::byte{1});
  EXPECT_FALSE(seccomp::translate_acl(odd, shifted));
}

}  // namespace
