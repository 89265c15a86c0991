// Owners as they are shown: foreign records, mappings, squashing, and records that are rubbish.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <map>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

constexpr char override_name[] = "user.containers.override_stat";

std::string owner_and_mode(const std::string& path) {
  return owner_of(path) + " " + mode_of(path);
}

struct Spelling {
  const char* name;
  const char* value;
  const char* shown;  // of a regular file with content
};

std::ostream& operator<<(std::ostream& out, const Spelling& spelling) {
  return out << spelling.name;
}

const Spelling spellings[] = {
    {"four_digits", "60000:60000:0640", "60000:60000 0640"},
    {"three_digits", "60000:1500:640", "60000:1500 0640"},
    {"with_file_type_bits", "60000:60000:100640", "60000:60000 0640"},
    {"with_type_word", "1000000:1185200044:0755:file", "1000000:1185200044 0755"},
    {"set_user_id", "0:0:4755", "0:0 4755"},
    {"set_user_id_and_type_bits", "60000:0:104755", "60000:0 4755"},
    {"no_permission", "7:8:0000", "7:8 0000"},
    {"largest_ids", "4294967294:4294967294:0600", "4294967294:4294967294 0600"},
};

class OverrideSpelling : public testing::TestWithParam<Spelling> {};

/// As an engine with force_mask leaves it: root's on disk, mode 0700, also on the layer's root.
TEST_P(OverrideSpelling, IsReadFromALowerAndKeptByCopyUp) {
  OverlayMount m;
  write_file(m.lower() + "/f", "text", 0700);
  ASSERT_EQ(set_xattr(m.lower(), override_name, "0:0:0755"), "ok");
  ASSERT_EQ(set_xattr(m.lower() + "/f", override_name, GetParam().value), "ok");
  m.set_options("xattr_permissions=2");
  m.mount();
  EXPECT_EQ(owner_and_mode(m.at("f")), GetParam().shown);
  EXPECT_EQ(kind_of(m.at("f")), "file");
  EXPECT_EQ(list_xattr(m.at("f")), "");
  EXPECT_EQ(outcome(open_at(m.at("f"), O_RDWR)), "ok");
  EXPECT_EQ(set_xattr(m.at("f"), "user.note", "1"), "ok");
  m.remount();
  EXPECT_EQ(owner_and_mode(m.at("f")), GetParam().shown);
  EXPECT_EQ(read_file(m.at("f")), "text");
}

INSTANTIATE_TEST_SUITE_P(Values, OverrideSpelling, testing::ValuesIn(spellings),
                         [](const auto& value) { return std::string(value.param.name); });

TEST(Override, OnADirectoryWithAndWithoutTheOption) {
  for (const std::string options : {"", "xattr_permissions=2"}) {
    OverlayMount m;
    make_dir(m.lower() + "/d", 0700);
    make_dir(m.lower() + "/e", 0700);
    set_xattr(m.lower(), override_name, "0:0:0755");
    set_xattr(m.lower() + "/d", override_name, "60000:60001:1777");
    set_xattr(m.lower() + "/e", override_name, "60000:60001:40750");
    m.set_options(options);
    m.mount();
    EXPECT_EQ(owner_and_mode(m.at("d")), "60000:60001 1777") << options;
    EXPECT_EQ(owner_and_mode(m.at("e")), "60000:60001 0750") << options;
    EXPECT_EQ(owner_and_mode(m.merged()).substr(0, 4), "0:0 ") << options;
    EXPECT_EQ(run_as(1000, 1000, {}, [&] { return write_file(m.at("d/f"), "x"); }), "ok");
    EXPECT_EQ(run_as(1000, 1000, {}, [&] { return names_in(m.at("e")); }), "<EACCES>");
  }
}

/// Devices, fifos and sockets are empty regular files in a force_mask layer.
TEST(Override, TypeWordMakesSpecialFiles) {
  OverlayMount m;
  const std::map<std::string, std::string> types = {
      {"pipe", "fifo"}, {"socket", "sock"}, {"char-1-3", "char"}, {"block-7-200", "block"}};
  set_xattr(m.lower(), override_name, "0:0:0755");
  for (const auto& [word, kind] : types) {
    write_file(m.lower() + "/" + kind, "", 0700);
    set_xattr(m.lower() + "/" + kind, override_name, "60000:60000:0660:" + word);
  }
  m.set_options("xattr_permissions=2");
  m.mount();
  for (const auto& [word, kind] : types) {
    EXPECT_EQ(kind_of(m.at(kind)), kind) << word;
    EXPECT_EQ(owner_and_mode(m.at(kind)), "60000:60000 0660") << word;
  }
  EXPECT_EQ(stat_of(m.at("char")).st_rdev, makedev(1, 3));
  EXPECT_EQ(stat_of(m.at("block")).st_rdev, makedev(7, 200));
}

TEST(Override, OurRecordStandsAboveIt) {
  OverlayMount m;
  write_file(m.lower() + "/f", "text", 0700);
  set_xattr(m.lower() + "/f", override_name, "1:2:0640");
  set_xattr(m.lower() + "/f", "user.usernetes.uid", "60000");
  set_xattr(m.lower() + "/f", "user.usernetes.gid", "60001");
  m.mount();
  EXPECT_EQ(owner_of(m.at("f")), "60000:60001");
}

TEST(Override, ChmodAndChownReplaceIt) {
  OverlayMount m;
  write_file(m.lower() + "/f", "text", 0700);
  set_xattr(m.lower(), override_name, "0:0:0755");
  set_xattr(m.lower() + "/f", override_name, "60000:60000:4640");
  m.set_options("xattr_permissions=2");
  m.mount();
  EXPECT_EQ(outcome(chmod(m.at("f").c_str(), 0604)), "ok");
  EXPECT_EQ(owner_and_mode(m.at("f")), "60000:60000 0604");
  EXPECT_EQ(own(m.at("f"), 7, 8), "ok");
  m.remount();
  EXPECT_EQ(owner_and_mode(m.at("f")), "7:8 0604");
}

/// The protobuf message {uid = 1, gid = 2}; 0xffffffff means "as on disk".
TEST(Override, RootlesscontainersIsRead) {
  OverlayMount m;
  write_file(m.lower() + "/both", "x");
  set_xattr(m.lower() + "/both", "user.rootlesscontainers",
            std::string("\x08\xe0\xd4\x03\x10\xdc\x0b"));
  write_file(m.lower() + "/uid", "x");
  own(m.lower() + "/uid", 5, 6);
  set_xattr(m.lower() + "/uid", "user.rootlesscontainers",
            std::string("\x08\xe0\xd4\x03\x10\xff\xff\xff\xff\x0f"));
  m.mount();
  EXPECT_EQ(owner_of(m.at("both")), "60000:1500");
  EXPECT_EQ(owner_of(m.at("uid")), "60000:6");
}

class CorruptRecord : public testing::TestWithParam<std::string> {};

TEST_P(CorruptRecord, FallsBackToThePlainOwner) {
  OverlayMount m;
  const std::string value = GetParam();
  for (const std::string name : {"f", "d"}) {
    const std::string path = m.lower() + "/" + name;
    name == "d" ? make_dir(path) : write_file(path, "text");
    own(path, 7, 8);
    ASSERT_EQ(set_xattr(path, "user.usernetes.uid", value), "ok");
    ASSERT_EQ(set_xattr(path, "user.usernetes.gid", value.substr(0, 900)), "ok");
  }
  write_file(m.lower() + "/half", "text");
  own(m.lower() + "/half", 7, 8);
  set_xattr(m.lower() + "/half", "user.usernetes.uid", value);
  m.mount();
  EXPECT_EQ(owner_of(m.at("f")), "7:8");
  EXPECT_EQ(owner_of(m.at("d")), "7:8");
  EXPECT_EQ(owner_of(m.at("half")), "7:8");
  EXPECT_EQ(list_xattr(m.at("f")), "");
  EXPECT_EQ(append_file(m.at("f"), "!"), "ok");
  EXPECT_EQ(owner_of(m.at("f")), "7:8");
  EXPECT_EQ(own(m.at("f"), 60000, 60000), "ok");
  m.remount();
  EXPECT_EQ(owner_of(m.at("f")), "60000:60000");
}

INSTANTIATE_TEST_SUITE_P(Values, CorruptRecord,
                         testing::Values("abc", "4294967295", "4294967296", "", "-1", "+5", " 5",
                                         "5 ", "0x10", "1e3", "99999999999999999999999", "5\n",
                                         std::string("5\0", 2), std::string(3000, '9')),
                         [](const auto& value) { return "Value" + std::to_string(value.index); });

/// ext4 keeps xattrs within a block; other file systems hold much longer ones.
TEST(CorruptRecordSize, SixtyKilobytesFallBackToo) {
  OverlayMount m;
  ASSERT_EQ(m.add_tmpfs(m.lower(), 4096), "ok");
  write_file(m.lower() + "/f", "text");
  own(m.lower() + "/f", 7, 8);
  ASSERT_EQ(set_xattr(m.lower() + "/f", "user.usernetes.uid", std::string(60000, '5')), "ok");
  write_file(m.lower() + "/g", "text");
  own(m.lower() + "/g", 7, 8);
  ASSERT_EQ(set_xattr(m.lower() + "/g", override_name, std::string(60000, ':')), "ok");
  m.mount();
  EXPECT_EQ(owner_of(m.at("f")) + " " + owner_of(m.at("g")), "7:8 7:8");
  EXPECT_EQ(append_file(m.at("f"), "!"), "ok");
  EXPECT_EQ(owner_of(m.at("f")), "7:8");
}

class CorruptOverride : public testing::TestWithParam<std::string> {};

TEST_P(CorruptOverride, FallsBackToThePlainOwner) {
  OverlayMount m;
  write_file(m.lower() + "/f", "text", 0640);
  own(m.lower() + "/f", 7, 8);
  ASSERT_EQ(set_xattr(m.lower() + "/f", override_name, GetParam()), "ok");
  m.mount();
  EXPECT_EQ(owner_and_mode(m.at("f")), "7:8 0640");
  EXPECT_EQ(append_file(m.at("f"), "!"), "ok");
  EXPECT_EQ(owner_and_mode(m.at("f")), "7:8 0640");
}

INSTANTIATE_TEST_SUITE_P(Values, CorruptOverride,
                         testing::Values("abc", "", "1", "1:2", "1:2:", ":2:0644", "a:2:0644",
                                         "1:2:0948", "4294967296:0:0644", "-1:0:0644",
                                         "1:2:99999999999", "1:2:0644:no-such-type",
                                         "1:2:0644:char", "1:2:0644:char-x-y",
                                         std::string(3000, ':')),
                         [](const auto& value) { return "Value" + std::to_string(value.index); });

TEST(Presentation, SquashToRootAndToIds) {
  const std::map<std::string, std::string> shown = {
      {"squash_to_root", "0:0"},
      {"squash_to_uid=1234,squash_to_gid=5678", "1234:5678"},
      {"squash_to_uid=1234", "1234:8"},
      {"squash_to_root,squash_to_uid=1234", "1234:0"}};
  for (const auto& [options, owner] : shown) {
    OverlayMount m;
    write_file(m.lower() + "/f", "text");
    own(m.lower() + "/f", 7, 8);
    m.set_options(options);
    m.mount();
    EXPECT_EQ(owner_of(m.at("f")), owner) << options;
    EXPECT_EQ(write_file(m.at("g"), "x"), "ok") << options;
    EXPECT_EQ(own(m.at("g"), 5, 5), "ok") << options << ": chown errors are swallowed";
  }
}

/// The triples are disk:shown:length, as engines give them, with their leading colon.
TEST(Presentation, MappingsOfIds) {
  OverlayMount m;
  const std::map<std::string, uid_t> owners = {{"root", 0}, {"in", 1005}, {"out", 70}};
  for (const auto& [name, uid] : owners) {
    write_file(m.lower() + "/" + name, "x", 0666);
    own(m.lower() + "/" + name, uid, uid);
  }
  m.set_options("uidmapping=:0:0:1:1000:5000:100,gidmapping=0:0:1:1000:6000:100");
  m.mount();
  EXPECT_EQ(owner_of(m.at("root")), "0:0");
  EXPECT_EQ(owner_of(m.at("in")), "5005:6005");
  EXPECT_EQ(owner_of(m.at("out")), "65534:65534");
  EXPECT_EQ(own(m.at("root"), 5007, 6007), "ok");
  EXPECT_EQ(owner_of(m.at("root")), "5007:6007");
  m.remount();
  EXPECT_EQ(owner_of(m.at("root")), "5007:6007");
}

}  // namespace
}  // namespace kernel_test
