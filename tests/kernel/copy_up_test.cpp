// Copy-up: every trigger, everything that must come along, and nothing that must not.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <ctime>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

constexpr timespec old_time = {1000000000, 123456789};

void set_old_times(const std::string& path) {
  const timespec both[2] = {old_time, old_time};
  utimensat(AT_FDCWD, path.c_str(), both, AT_SYMLINK_NOFOLLOW);
}

bool is_old(const timespec& time) {
  return time.tv_sec == old_time.tv_sec && time.tv_nsec == old_time.tv_nsec;
}

/// A lower file with all that a file can carry.
void make_rich_file(const std::string& path) {
  write_file(path, "rich text");
  own(path, 1500, 1600);
  chmod(path.c_str(), 02751);
  set_xattr(path, "user.note", "a note");
  set_xattr(path, "trusted.note", "trusted");
  set_xattr(path, "user.empty", "");
  set_xattr(path, "system.posix_acl_access",
            acl_value({{1, 7}, {2, 5, 1700}, {4, 5}, {16, 5}, {32, 1}}));
  set_xattr(path, "security.capability", capability_value());
  set_old_times(path);
}

struct Trigger {
  const char* name;
  std::string (*act)(const std::string& path);
};

std::ostream& operator<<(std::ostream& out, const Trigger& trigger) {
  return out << trigger.name;
}

const Trigger triggers[] = {
    {"rename",
     [](const std::string& path) {
       const std::string there = path + ".moved";
       const std::string first = outcome(rename(path.c_str(), there.c_str()));
       return first == "ok" ? outcome(rename(there.c_str(), path.c_str())) : first;
     }},
    {"link",
     [](const std::string& path) {
       const std::string there = path + ".linked";
       const std::string first = outcome(link(path.c_str(), there.c_str()));
       return first == "ok" ? outcome(unlink(there.c_str())) : first;
     }},
    {"set_and_remove_xattr",
     [](const std::string& path) {
       const std::string first = set_xattr(path, "user.extra", "1");
       return first == "ok" ? remove_xattr(path, "user.extra") : first;
     }},
    {"same_times",
     [](const std::string& path) {
       set_old_times(path);
       return std::string("ok");
     }},
};

class CopyUp : public testing::TestWithParam<Trigger> {};

TEST_P(CopyUp, BringsEverythingAlong) {
  OverlayMount m;
  make_dir(m.lower() + "/a");
  make_dir(m.lower() + "/a/b");
  own(m.lower() + "/a/b", 1500, 1600);
  chmod((m.lower() + "/a/b").c_str(), 03711);
  set_xattr(m.lower() + "/a/b", "user.dir", "note");
  make_rich_file(m.lower() + "/a/b/f");
  set_old_times(m.lower() + "/a/b");
  set_old_times(m.lower() + "/a");
  const std::string below = describe_tree(m.lower());
  m.mount();
  EXPECT_EQ(describe_tree(m.merged()), below);
  EXPECT_EQ(GetParam().act(m.at("a/b/f")), "ok");
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(describe_tree(m.merged()), below);
    EXPECT_TRUE(is_old(stat_of(m.at("a/b/f")).st_mtim));
    EXPECT_TRUE(is_old(stat_of(m.at("a")).st_mtim)) << "only the parent's content has changed";
    m.remount();
  }
  EXPECT_EQ(describe_tree(m.lower()), below);
  EXPECT_TRUE(exists(m.upper() + "/a/b/f")) << "the trigger has copied nothing up";
}

/// Whoever only looks, or locks, or throws the content away, need not wait for a copy of it.
TEST(CopyUpByWriting, StartsWithTheFirstWrite) {
  OverlayMount m;
  make_rich_file(m.lower() + "/f");
  const std::string below = describe_tree(m.lower());
  m.mount();
  {
    const base::Fd reader = open_at(m.at("f"), O_RDONLY);
    const base::Fd fd = open_at(m.at("f"), O_RDWR);
    EXPECT_TRUE(fd.valid());
    EXPECT_EQ(outcome(fsync(fd.get())), "ok");
    EXPECT_EQ(describe_tree(m.merged()), below);
    EXPECT_FALSE(exists(m.upper() + "/f"));
    EXPECT_EQ(outcome(pwrite(fd.get(), "W", 1, 0)), "ok");
    EXPECT_EQ(outcome(fsync(fd.get())), "ok");
    EXPECT_TRUE(exists(m.upper() + "/f"));
    char first = 0;
    EXPECT_EQ(pread(reader.get(), &first, 1, 0), 1);
    EXPECT_EQ(first, 'W');
  }
  m.remount();
  EXPECT_EQ(read_file(m.at("f")).substr(0, 1), "W");
  EXPECT_EQ(read_file(m.at("f")).size(), read_file(m.lower() + "/f").size());
  EXPECT_EQ(describe_tree(m.lower()), below);
}

INSTANTIATE_TEST_SUITE_P(Triggers, CopyUp, testing::ValuesIn(triggers),
                         [](const auto& value) { return std::string(value.param.name); });

/// Ids which no process has, as an image brings them: by record, by plain owner.
TEST(CopyUpOwner, OfTrueIdsBeyondThePool) {
  OverlayMount m;
  write_file(m.lower() + "/plain", "x", 0640);
  own(m.lower() + "/plain", 1185200044, 60000);
  write_file(m.lower() + "/record", "x", 0640);
  own(m.lower() + "/record", 1633, 1520);
  set_xattr(m.lower() + "/record", "user.usernetes.uid", "60000");
  set_xattr(m.lower() + "/record", "user.usernetes.gid", "1000");
  m.mount();
  EXPECT_EQ(owner_of(m.at("plain")), "1185200044:60000");
  EXPECT_EQ(owner_of(m.at("record")), "60000:1000");
  EXPECT_EQ(append_file(m.at("plain"), "y"), "ok");
  EXPECT_EQ(append_file(m.at("record"), "y"), "ok");
  m.remount();
  EXPECT_EQ(owner_of(m.at("plain")) + " " + mode_of(m.at("plain")), "1185200044:60000 0640");
  EXPECT_EQ(owner_of(m.at("record")) + " " + mode_of(m.at("record")), "60000:1000 0640");
  EXPECT_EQ(get_xattr(m.upper() + "/plain", "user.usernetes.uid"), "1185200044");
  EXPECT_EQ(get_xattr(m.upper() + "/record", "user.usernetes.uid"), "60000");
  EXPECT_EQ(owner_of(m.upper() + "/record"), "1633:1520");
}

TEST(CopyUpTrigger, ReadingCopiesNothing) {
  OverlayMount m;
  make_dir(m.lower() + "/d");
  write_file(m.lower() + "/d/f", "low");
  m.mount();
  EXPECT_EQ(read_file(m.at("d/f")), "low");
  EXPECT_NE(describe_tree(m.merged()), "");
  EXPECT_EQ(outcome(access(m.at("d/f").c_str(), R_OK | W_OK)), "ok");
  EXPECT_EQ(names_in(m.upper()), "");
}

TEST(CopyUpTrigger, FailedChangeCopiesNothingForeign) {
  OverlayMount m;
  write_file(m.lower() + "/f", "low", 0600);
  m.mount();
  EXPECT_EQ(run_as(1000, 1000, {}, [&] { return append_file(m.at("f"), "x"); }), "EACCES");
  EXPECT_EQ(run_as(1000, 1000, {}, [&] { return outcome(chmod(m.at("f").c_str(), 0777)); }),
            "EPERM");
  EXPECT_EQ(names_in(m.upper()), "");
}

TEST(CopyUpTrigger, OpenTruncateKeepsAllButContent) {
  OverlayMount m;
  write_file(m.lower() + "/f", std::string(100000, 'x'), 0640);
  own(m.lower() + "/f", 1500, 1600);
  set_xattr(m.lower() + "/f", "user.note", "kept");
  m.mount();
  EXPECT_EQ(outcome(open_at(m.at("f"), O_WRONLY | O_TRUNC)), "ok");
  m.remount();
  EXPECT_EQ(stat_of(m.at("f")).st_size, 0);
  EXPECT_EQ(owner_of(m.at("f")) + mode_of(m.at("f")), "1500:16000640");
  EXPECT_EQ(get_xattr(m.at("f"), "user.note"), "kept");
}

TEST(CopyUpTrigger, TruncateInTheMiddle) {
  OverlayMount m;
  write_file(m.lower() + "/f", "0123456789");
  write_file(m.lower() + "/g", "0123456789");
  m.mount();
  EXPECT_EQ(outcome(truncate(m.at("f").c_str(), 4)), "ok");
  EXPECT_EQ(outcome(truncate(m.at("g").c_str(), 12)), "ok");
  m.remount();
  EXPECT_EQ(read_file(m.at("f")), "0123");
  EXPECT_EQ(read_file(m.at("g")), std::string("0123456789\0\0", 12));
}

/// Longer than any chunk a copy may use, with an odd length, and still being read meanwhile.
TEST(CopyUpTrigger, BigFileWhileItIsRead) {
  OverlayMount m;
  std::string text((24 << 20) + 12345, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 2654435761U >> 24);
  write_file(m.lower() + "/big", text);
  m.mount();
  base::Fd reader = open_at(m.at("big"), O_RDONLY);
  base::Fd writer = open_at(m.at("big"), O_RDWR);
  EXPECT_EQ(outcome(pwrite(writer.get(), "END", 3, static_cast<off_t>(text.size()))), "ok");
  text += "END";
  EXPECT_TRUE(read_fd(reader.get()) == text);
  reader.reset();
  writer.reset();
  m.unmount();
  EXPECT_TRUE(read_file(m.upper() + "/big") == text);
}

TEST(CopyUpTrigger, LeavesNothingInTheWorkDirectory) {
  OverlayMount m;
  make_dir(m.lower() + "/d");
  write_file(m.lower() + "/d/f", "low");
  m.mount();
  EXPECT_EQ(append_file(m.at("d/f"), "x"), "ok");
  EXPECT_EQ(outcome(rename(m.at("d/f").c_str(), m.at("g").c_str())), "ok");
  EXPECT_EQ(outcome(rmdir(m.at("d").c_str())), "ok");
  m.unmount();
  const std::string left = run({"find", m.work(), "-type", "f"}).out;
  EXPECT_EQ(left, "");
}

/// An engine removes the work directory's rests itself; a crash before must not disturb a mount.
TEST(CopyUpTrigger, RestsInTheWorkDirectoryAreCleared) {
  OverlayMount m;
  write_file(m.lower() + "/f", "low");
  make_dir(m.work() + "/work");
  make_dir(m.work() + "/work/rest");
  write_file(m.work() + "/work/rest/f", "rest");
  write_file(m.work() + "/work/1", "rest");
  m.mount();
  EXPECT_EQ(append_file(m.at("f"), "x"), "ok");
  EXPECT_EQ(read_file(m.at("f")), "lowx");
  m.unmount();
  EXPECT_EQ(run({"find", m.work(), "-type", "f"}).out, "");
}

}  // namespace
}  // namespace kernel_test
