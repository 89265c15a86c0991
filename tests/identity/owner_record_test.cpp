#include "identity/owner_record.hpp"

#include <gtest/gtest.h>

#include "tests/identity/gen.hpp"

namespace identity {
namespace {

using testing_random::for_all;
using testing_random::Gen;

TEST(OwnerRecord, ReadsEveryId) {
  EXPECT_EQ(parse_id("0").value(), 0u);
  EXPECT_EQ(parse_id("60000").value(), 60000u);
  EXPECT_EQ(parse_id("4294967294").value(), 4294967294u);
  for_all(2000, [](Gen& gen) {
    Id const id = gen.id();
    ASSERT_EQ(parse_id(format_id(id)).value(), id);
  });
}

TEST(OwnerRecord, RefusesWhatIsNotExactlyAnId) {
  for (std::string const& bad :
       {std::string(), std::string("abc"), std::string("4294967295"), std::string("4294967296"),
        std::string("99999999999"), std::string("-1"), std::string("+1"), std::string(" 1"),
        std::string("1 "), std::string("1\n"), std::string("1\0", 2), std::string("01"),
        std::string("00"), std::string("0x1"), std::string("1e3"), std::string(1 << 20, '1'),
        std::string(1 << 20, '0')}) {
    auto const id = parse_id(bad);
    ASSERT_FALSE(id) << bad.substr(0, 20);
    EXPECT_EQ(id.error(), base::Errno{EINVAL});
  }
}

struct Spelling {
  char const* name;
  char const* text;
  OverrideStat stat;
};
class Override : public testing::TestWithParam<Spelling> {};

TEST_P(Override, IsRead) {
  auto const stat = parse_override_stat(GetParam().text);
  ASSERT_TRUE(stat);
  EXPECT_EQ(*stat, GetParam().stat);
}

INSTANTIATE_TEST_SUITE_P(
    spellings, Override,
    testing::Values(
        Spelling{"storage_typed", "60000:60000:0640:file", {60000, 60000, 0640, NodeType::file}},
        Spelling{"storage_old", "60000:60000:0640", {60000, 60000, 0640}},
        Spelling{"three_digits", "0:0:755", {0, 0, 0755}},
        Spelling{"set_uid", "60000:0:4755:file", {60000, 0, 04755, NodeType::file}},
        Spelling{"fuse_file", "1633:0:100755", {1633, 0, 0755, NodeType::file}},
        Spelling{"fuse_file_zero", "1633:0:0100755", {1633, 0, 0755, NodeType::file}},
        Spelling{"fuse_dir", "1633:0:40755", {1633, 0, 0755, NodeType::dir}},
        Spelling{"fuse_dir_sticky", "0:0:41777", {0, 0, 01777, NodeType::dir}},
        Spelling{"fuse_fifo", "0:0:10644", {0, 0, 0644, NodeType::fifo}},
        Spelling{"fuse_link", "0:0:120777", {0, 0, 0777, NodeType::symlink}},
        Spelling{"fuse_socket", "0:0:140755", {0, 0, 0755, NodeType::socket}},
        Spelling{"dir", "1:2:0755:dir", {1, 2, 0755, NodeType::dir}},
        Spelling{"link", "1:2:0777:symlink", {1, 2, 0777, NodeType::symlink}},
        Spelling{"pipe", "1:2:0600:pipe", {1, 2, 0600, NodeType::fifo}},
        Spelling{"socket", "1:2:0600:socket", {1, 2, 0600, NodeType::socket}},
        Spelling{"chr", "0:5:0666:char-1-3", {0, 5, 0666, NodeType::chr, 1, 3}},
        Spelling{"block", "0:6:0660:block-8-16", {0, 6, 0660, NodeType::block, 8, 16}},
        Spelling{"colons", "0:6:0660:block:8:16", {0, 6, 0660, NodeType::block, 8, 16}},
        Spelling{"mixed", "0:6:0660:char-8:16", {0, 6, 0660, NodeType::chr, 8, 16}},
        Spelling{"largest",
                 "4294967294:0:7777:char-4095-1048575",
                 {4294967294u, 0, 07777, NodeType::chr, 4095, 1048575}},
        Spelling{"field_beats_bits", "0:0:100755:dir", {0, 0, 0755, NodeType::dir}}),
    [](auto const& row) { return std::string(row.param.name); });

TEST(Override, RefusesTheRest) {
  for (char const* bad : {"",
                          ":",
                          "::",
                          "0:0",
                          "0:0:",
                          "0:0:8",
                          "0:0:0888",
                          "0:0:-755",
                          "0:0:755:",
                          "0:0:755:fil",
                          "0:0:755:file-1-2",
                          "0:0:755:files",
                          "0:0:755:char",
                          "0:0:755:char-1",
                          "0:0:755:char-1-",
                          "0:0:755:char--1",
                          "0:0:755:char-4096-1",
                          "0:0:755:char-1-1048576",
                          "0:0:755:char-1-3-4",
                          "0:0:755:file:",
                          "0:0:30755",
                          "0:0:7777777",
                          "0:0:200755",
                          "4294967295:0:755",
                          "0:4294967295:755",
                          "01:0:755",
                          " 0:0:755",
                          "0:0:755\n",
                          "0:0:00100755",
                          "a:b:c"}) {
    EXPECT_FALSE(parse_override_stat(bad)) << bad;
  }
  EXPECT_FALSE(parse_override_stat(std::string("0:0:755\0", 8)));
  EXPECT_FALSE(parse_override_stat(std::string(1 << 20, ':')));
}

OverrideStat random_stat(Gen& gen) {
  OverrideStat s{gen.id(), gen.id(), gen.below(010000), static_cast<NodeType>(gen.below(8))};
  if (s.type == NodeType::block || s.type == NodeType::chr) {
    s.major = gen.below(4096);
    s.minor = gen.below(1048576);
  }
  return s;
}

TEST(Override, ParseOfFormatIsTheSame) {
  EXPECT_EQ(format_override_stat({60000, 60000, 0640, NodeType::file}), "60000:60000:0640:file");
  EXPECT_EQ(format_override_stat({0, 0, 04755}), "0:0:4755");
  EXPECT_EQ(format_override_stat({0, 0, 0666, NodeType::chr, 1, 3}), "0:0:0666:char-1-3");
  for_all(5000, [](Gen& gen) {
    OverrideStat const stat = random_stat(gen);
    ASSERT_EQ(parse_override_stat(format_override_stat(stat)).value(), stat);
  });
}

TEST(Override, EveryMutationIsRefusedOrMeansWhatItSays) {
  for_all(5000, [](Gen& gen) {
    std::string text = format_override_stat(random_stat(gen));
    if (gen.below(2)) {
      text.resize(gen.below(static_cast<std::uint32_t>(text.size())));
    } else {
      text[gen.below(static_cast<std::uint32_t>(text.size()))] = static_cast<char>(gen.below(256));
    }
    auto const once = parse_override_stat(text);
    if (!once) return;
    ASSERT_NE(once->uid, kNoId);
    ASSERT_LE(once->mode, 07777u);
    ASSERT_EQ(parse_override_stat(format_override_stat(*once)).value(), *once) << text;
  });
}

TEST(Rootless, ReadsTheMessage) {
  auto read = [](std::string_view bytes) { return parse_rootlesscontainers(bytes); };
  using Owner = std::pair<Id, Id>;
  EXPECT_EQ(read("").value(), Owner(0, 0));
  EXPECT_EQ(read("\x08\x01\x10\x02").value(), Owner(1, 2));
  EXPECT_EQ(read("\x10\x02").value(), Owner(0, 2));
  EXPECT_EQ(read("\x08\xe0\xd4\x03").value(), Owner(60000, 0));
  EXPECT_EQ(read("\x08\xff\xff\xff\xff\x0f").value(), Owner(kNoId, 0)) << "not overridden";
  EXPECT_EQ(read("\x1a\x03xyz\x08\x07").value(), Owner(7, 0)) << "unknown string field";
  EXPECT_EQ(read("\x1d\x01\x02\x03\x04\x08\x07").value(), Owner(7, 0)) << "unknown fixed32";
  EXPECT_EQ(read("\x08\x01\x08\x02").value(), Owner(2, 0)) << "the last one wins";
}

TEST(Rootless, RefusesWhatIsCutOrWrong) {
  for (std::string_view bad :
       {std::string_view("\x08"), std::string_view("\x08\xe0\xd4"),
        std::string_view("\x0a\x01\x01"), std::string_view("\x1a\x05xy"),
        std::string_view("\x1d\x01"), std::string_view("\x0b"),
        std::string_view("\x08\xff\xff\xff\xff\x1f"), std::string_view("\x00\x01", 2),
        std::string_view("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02"),
        std::string_view("\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")}) {
    EXPECT_FALSE(parse_rootlesscontainers(bad));
  }
  EXPECT_FALSE(parse_rootlesscontainers(std::string(1 << 20, '\xff')));
}

TEST(InternalNames, AreHidden) {
  for (char const* name :
       {"user.usernetes.uid", "user.usernetes.gid", "user.usernetes.", "user.overlay.opaque",
        "trusted.overlay.opaque", "user.fuseoverlayfs.override_stat", "security.fuseoverlayfs.x",
        "user.containers.override_stat", "user.containers.override_user.usernetes.uid",
        "trusted.containers.override_stat", "user.rootlesscontainers"}) {
    EXPECT_TRUE(is_internal_xattr(name)) << name;
  }
  for (char const* name : {"", "user.", "user.mime_type", "user.usernetes", "user.containers.other",
                           "user.rootlesscontainers2", "security.capability", "USER.USERNETES.UID",
                           "system.posix_acl_access", "trusted.other"}) {
    EXPECT_FALSE(is_internal_xattr(name)) << name;
  }
  EXPECT_TRUE(is_internal_xattr(kUidXattr));
  EXPECT_TRUE(is_internal_xattr(kGidXattr));
  for (auto name : kOverrideXattrs) EXPECT_TRUE(is_internal_xattr(name));
}

TEST(DeviceRecord, OnlyDevices) {
  for (const char* text : {"char-1-3", "block-253-1048575", "char-4095-0", "block-0-0"}) {
    auto const device = parse_device(text);
    ASSERT_TRUE(device) << text;
    EXPECT_EQ(format_device(*device), text);
  }
  for (const char* text : {"", "char", "char-1", "char-1-", "char-1-1048576", "char-4096-1", "file",
                           "pipe", "dir", "char-0-0", "char-1-3 ", "char-01-3x", "0:0:0:char-1-3"})
    EXPECT_FALSE(parse_device(text)) << text;
}

}  // namespace
}  // namespace identity
