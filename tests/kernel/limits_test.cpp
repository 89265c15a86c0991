// Edges: names and paths of maximal length, many links, inode numbers over several devices.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/statvfs.h>

#include <climits>
#include <map>
#include <set>
#include <sstream>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

std::string move(const std::string& from, const std::string& to) {
  return outcome(rename(from.c_str(), to.c_str()));
}

TEST(Limits, NamesOf255BytesAreLikeAnyOther) {
  const auto prepare = [](const std::string& dir) {
    write_file(dir + "/" + std::string(255, 'f'), "x");
    make_dir(dir + "/" + std::string(255, 'd'));
    write_file(dir + "/" + std::string(255, 'd') + "/" + std::string(255, 'e'), "y");
  };
  const auto story = [](const std::string& dir) {
    const auto name = [&](int size, char fill) {
      return dir + "/" + std::string(static_cast<size_t>(size), fill);
    };
    std::ostringstream text;
    for (const int size : {251, 252, 255, 256}) {
      text << size << ' ' << write_file(name(size, 'n'), "x") << ' ' << make_dir(name(size, 'm'))
           << ' ' << make_link("t", name(size, 'l')) << ' '
           << move(name(size, 'n'), name(size, 'o')) << ' '
           << outcome(link(name(size, 'o').c_str(), name(size, 'h').c_str())) << ' '
           << kind_of(name(size, 'h')) << '\n';
    }
    text << read_file(name(255, 'd') + "/" + std::string(255, 'e')) << ' ';
    text << outcome(unlink((name(255, 'd') + "/" + std::string(255, 'e')).c_str())) << ' ';
    text << outcome(rmdir(name(255, 'd').c_str())) << ' ';
    text << move(name(255, 'f'), name(255, 'g')) << '\n';
    struct statvfs fs = {};
    statvfs(dir.c_str(), &fs);
    text << fs.f_namemax << '\n';
    return text.str() + names_in(dir);
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Limits, DeletedLongLowerNamesStayDeleted) {
  OverlayMount m;
  const std::string name(255, 'w');
  write_file(m.lower() + "/" + name, "low");
  m.mount();
  EXPECT_EQ(outcome(unlink(m.at(name).c_str())), "ok");
  m.remount();
  EXPECT_EQ(names_in(m.merged()), "");
}

TEST(Limits, NamesOfAnyBytesButSlash) {
  OverlayMount m;
  std::string name;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte != '/' && name.size() < 250) name += static_cast<char>(byte);
  }
  m.mount();
  EXPECT_EQ(write_file(m.at(name), "x"), "ok");
  EXPECT_EQ(make_dir(m.at("\n \\x")), "ok");
  m.remount();
  EXPECT_EQ(read_file(m.at(name)), "x");
  EXPECT_EQ(kind_of(m.at("\n \\x")), "dir");
}

/// Deeper than PATH_MAX, as tar and rm walk: by descriptors, one component at a time.
TEST(Limits, TreeDeeperThanPathMax) {
  OverlayMount m;
  m.mount();
  const std::string name(200, 'p');
  base::Fd here = open_at(m.merged(), O_RDONLY | O_DIRECTORY);
  for (int depth = 0; depth < 60; ++depth) {
    ASSERT_EQ(outcome(mkdirat(here.get(), name.c_str(), 0755)), "ok") << depth;
    here = base::Fd(openat(here.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_EQ(outcome(here), "ok") << depth;
  }
  {
    const base::Fd fd(openat(here.get(), "deep", O_CREAT | O_RDWR | O_CLOEXEC, 0640));
    ASSERT_EQ(outcome(fd), "ok");
    EXPECT_EQ(outcome(write(fd.get(), "deep", 4)), "ok");
  }
  EXPECT_EQ(outcome(fchownat(here.get(), "deep", 60000, 1500, 0)), "ok");
  here.reset();
  m.remount();
  here = open_at(m.merged(), O_RDONLY | O_DIRECTORY);
  for (int depth = 0; depth < 60; ++depth) {
    here = base::Fd(openat(here.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  struct stat st = {};
  EXPECT_EQ(outcome(fstatat(here.get(), "deep", &st, 0)), "ok");
  EXPECT_EQ(st.st_uid, 60000U);
  here.reset();
  EXPECT_EQ(run({"rm", "-rf", m.at(name)}).status, 0);
  EXPECT_EQ(names_in(m.merged()), "");
}

TEST(Limits, PathAndSymlinkTargetOfMaximalLength) {
  const auto prepare = [](const std::string&) {};
  const auto story = [](const std::string& dir) {
    std::ostringstream text;
    for (const size_t size : {1UL, 60UL, 255UL, 4000UL, 4094UL, 4095UL, 4096UL}) {
      const std::string path = dir + "/s" + std::to_string(size);
      text << size << ' ' << make_link(std::string(size, 't'), path) << ' '
           << link_text(path).size() << ' ' << stat_of(path).st_size << '\n';
    }
    std::string deep = dir;
    while (deep.size() < PATH_MAX - 30) {
      deep += "/" + std::string(std::min<size_t>(200, PATH_MAX - 20 - deep.size()), 'd');
      text << make_dir(deep);
    }
    const size_t left = PATH_MAX - 1 - deep.size() - 1;
    text << ' ' << write_file(deep + "/" + std::string(left, 'x'), "x");
    text << ' ' << write_file(deep + "/" + std::string(left + 1, 'x'), "x") << '\n';
    return text.str();
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Limits, XattrsOfMaximalSize) {
  const auto prepare = [](const std::string& dir) { write_file(dir + "/f", "x"); };
  const auto story = [](const std::string& dir) {
    std::ostringstream text;
    const std::string path = dir + "/f";
    const std::string longest = "user." + std::string(250, 'n');
    text << set_xattr(path, longest, "v") << ' ' << get_xattr(path, longest) << '\n';
    text << set_xattr(path, longest + "n", "v") << '\n';
    text << set_xattr(path, "user.big", std::string(2000, 'b')) << ' '
         << get_xattr(path, "user.big").size() << '\n';
    text << set_xattr(path, "user.huge", std::string(65536, 'h')) << '\n';
    text << set_xattr(path, "user.huge", std::string(65537, 'h')) << '\n';
    text << set_xattr(path, "user.empty", "") << " [" << get_xattr(path, "user.empty") << "]\n";
    text << set_xattr(path, "user.new", "1", 2) << ' ' << set_xattr(path, "user.big", "1", 1)
         << '\n';
    text << set_xattr(path, "nonsense", "1") << ' ' << set_xattr(path, "user.", "1") << ' '
         << remove_xattr(path, "user.none") << ' ' << get_xattr(path, "user.none") << '\n';
    return text.str() + list_xattr(path);
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Limits, ManyHardLinks) {
  OverlayMount m;
  make_dir(m.lower() + "/d");
  write_file(m.lower() + "/f", "x");
  m.mount();
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(outcome(link(m.at("f").c_str(), m.at("d/" + std::to_string(i)).c_str())), "ok");
  }
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(stat_of(m.at("f")).st_nlink, 301U);
    EXPECT_EQ(stat_of(m.at("d/299")).st_ino, stat_of(m.at("f")).st_ino);
    m.remount();
  }
  EXPECT_EQ(write_file(m.at("d/7"), "seven"), "ok");
  EXPECT_EQ(read_file(m.at("f")), "seven");
}

/// Two fresh tmpfs number their files alike.
TEST(InodeNumbers, AreDistinctOverSeveralDevices) {
  OverlayMount m({.lowers = 3});
  ASSERT_EQ(m.add_tmpfs(m.lower(0), 4096), "ok");
  ASSERT_EQ(m.add_tmpfs(m.lower(1), 4096), "ok");
  for (int i = 0; i < 3; ++i) {
    for (int file = 0; file < 50; ++file) {
      write_file(m.lower(i) + "/f" + std::to_string(i) + "_" + std::to_string(file), "x");
    }
  }
  ASSERT_EQ(stat_of(m.lower(0) + "/f0_7").st_ino, stat_of(m.lower(1) + "/f1_7").st_ino);
  m.mount();
  std::map<std::pair<dev_t, ino_t>, std::string> seen;
  std::istringstream names(names_in(m.merged()));
  for (std::string name; names >> name;) {
    const struct stat st = stat_of(m.at(name));
    const auto [at, is_new] = seen.emplace(std::pair{st.st_dev, st.st_ino}, name);
    EXPECT_TRUE(is_new) << name << " has the number of " << at->second;
    EXPECT_EQ(st.st_dev, stat_of(m.merged()).st_dev) << "du -x and find -xdev would stop here";
  }
  EXPECT_EQ(seen.size(), 150U);
}

TEST(InodeNumbers, StayAcrossCopyUpAndRename) {
  OverlayMount m({.lowers = 2});
  ASSERT_EQ(m.add_tmpfs(m.lower(1), 4096), "ok");
  write_file(m.lower(0) + "/a", "x");
  write_file(m.lower(1) + "/b", "x");
  make_dir(m.lower(1) + "/d");
  m.mount();
  std::map<std::string, ino_t> numbers;
  for (const std::string name : {"a", "b", "d"}) numbers[name] = stat_of(m.at(name)).st_ino;
  for (const std::string name : {"a", "b", "d"}) {
    EXPECT_EQ(outcome(chmod(m.at(name).c_str(), 0700)), "ok");
    EXPECT_EQ(stat_of(m.at(name)).st_ino, numbers[name]) << name;
    EXPECT_EQ(move(m.at(name), m.at(name + "2")), "ok");
    EXPECT_EQ(stat_of(m.at(name + "2")).st_ino, numbers[name]) << name;
  }
}

TEST(InodeNumbers, OfNewFilesDoNotMeetOldOnes) {
  OverlayMount m;
  for (int i = 0; i < 200; ++i) write_file(m.lower() + "/l" + std::to_string(i), "");
  m.mount();
  std::set<ino_t> numbers;
  for (int i = 0; i < 200; ++i) {
    write_file(m.at("u" + std::to_string(i)), "");
    numbers.insert(stat_of(m.at("u" + std::to_string(i))).st_ino);
    numbers.insert(stat_of(m.at("l" + std::to_string(i))).st_ino);
  }
  EXPECT_EQ(numbers.size(), 400U);
}

}  // namespace
}  // namespace kernel_test
