// Listings: merged, stable while names come and go, complete for large directories.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

std::string number(int value) {
  return std::to_string(100000 + value);
}

struct Listing {
  explicit Listing(const std::string& dir) : stream(opendir(dir.c_str())) {}
  ~Listing() { closedir(stream); }
  Listing(const Listing&) = delete;
  Listing& operator=(const Listing&) = delete;
  /// The next `most` names, dots left out; counts how often each came.
  void take(int most, std::map<std::string, int>& seen) {
    for (int i = 0; i < most; ++i) {
      const dirent* entry = readdir(stream);
      if (entry == nullptr) return;
      if (entry->d_name[0] != '.') ++seen[entry->d_name];
    }
  }
  DIR* stream;
};

TEST(Readdir, MergesAllLayersOnce) {
  OverlayMount m({.lowers = 3});
  for (int i = 0; i < 3; ++i) {
    make_dir(m.lower(i) + "/d");
    write_file(m.lower(i) + "/d/same", std::to_string(i));
    write_file(m.lower(i) + "/d/own" + std::to_string(i), "");
  }
  m.mount();
  write_file(m.at("d/up"), "");
  EXPECT_EQ(names_in(m.at("d")), "own0 own1 own2 same up");
  EXPECT_EQ(read_file(m.at("d/same")), "0");
}

TEST(Readdir, EntryTypesAndInodesAgreeWithStat) {
  OverlayMount m;
  write_file(m.lower() + "/f", "");
  make_dir(m.lower() + "/d");
  make_link("f", m.lower() + "/l");
  mknod((m.lower() + "/p").c_str(), S_IFIFO | 0600, 0);
  m.mount();
  write_file(m.at("up"), "");
  Listing listing(m.merged());
  int entries = 0;
  while (const dirent* entry = readdir(listing.stream)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    ++entries;
    const struct stat st = stat_of(m.at(name));
    EXPECT_EQ(entry->d_ino, st.st_ino) << name;
    EXPECT_EQ(DTTOIF(entry->d_type), st.st_mode & S_IFMT) << name;
  }
  EXPECT_EQ(entries, 5);
}

TEST(Readdir, FiveThousandNamesInTwoLayers) {
  OverlayMount m;
  make_dir(m.lower() + "/d");
  for (int i = 0; i < 3000; ++i) write_file(m.lower() + "/d/" + number(i), "");
  m.mount();
  for (int i = 2000; i < 5000; ++i) write_file(m.at("d/") + number(i), "");
  for (int i = 0; i < 100; ++i) unlink((m.at("d/") + number(i)).c_str());
  std::map<std::string, int> seen;
  Listing(m.at("d")).take(100000, seen);
  EXPECT_EQ(seen.size(), 4900U);
  for (const auto& [name, count] : seen) EXPECT_EQ(count, 1) << name;
  EXPECT_EQ(seen.begin()->first, number(100));
  EXPECT_EQ(seen.rbegin()->first, number(4999));
}

/// As rm -r does: what was listed goes away while the listing is still being read.
TEST(Readdir, UnlinkWhileListingLosesAndRepeatsNothing) {
  OverlayMount m;
  make_dir(m.lower() + "/d");
  for (int i = 0; i < 1500; ++i) write_file(m.lower() + "/d/" + number(i), "");
  m.mount();
  for (int i = 1500; i < 3000; ++i) write_file(m.at("d/") + number(i), "");
  std::map<std::string, int> seen;
  Listing listing(m.at("d"));
  for (int round = 0; round < 100; ++round) {
    std::map<std::string, int> part;
    listing.take(50, part);
    for (const auto& [name, count] : part) {
      seen[name] += count;
      EXPECT_EQ(outcome(unlink((m.at("d/") + name).c_str())), "ok") << name;
    }
    write_file(m.at("d/new") + number(round), "");
  }
  int originals = 0;
  for (const auto& [name, count] : seen) {
    EXPECT_EQ(count, 1) << name;
    originals += name[0] == '1' ? 1 : 0;
  }
  EXPECT_EQ(originals, 3000);
}

TEST(Readdir, TelldirAndSeekdirComeBack) {
  OverlayMount m;
  make_dir(m.lower() + "/d");
  for (int i = 0; i < 400; ++i) write_file(m.lower() + "/d/" + number(i), "");
  m.mount();
  Listing listing(m.at("d"));
  std::map<std::string, int> first;
  listing.take(200, first);
  const long place = telldir(listing.stream);
  std::map<std::string, int> rest, again;
  listing.take(1000, rest);
  seekdir(listing.stream, place);
  listing.take(1000, again);
  EXPECT_EQ(rest, again);
  EXPECT_EQ(first.size() + rest.size(), 400U);
  rewinddir(listing.stream);
  std::map<std::string, int> all;
  listing.take(1000, all);
  EXPECT_EQ(all.size(), 400U);
}

TEST(Readdir, RewindSeesWhatCameSince) {
  OverlayMount m;
  write_file(m.lower() + "/a", "");
  m.mount();
  Listing listing(m.merged());
  std::map<std::string, int> before, after;
  listing.take(10, before);
  write_file(m.at("b"), "");
  unlink(m.at("a").c_str());
  rewinddir(listing.stream);
  listing.take(10, after);
  EXPECT_EQ(before.size(), 1U);
  EXPECT_TRUE(after.size() == 1 && after.contains("b"));
}

TEST(Readdir, OpenDirectoryThatIsRemovedLists) {
  OverlayMount m;
  make_dir(m.lower() + "/d");
  m.mount();
  Listing listing(m.at("d"));
  EXPECT_EQ(outcome(rmdir(m.at("d").c_str())), "ok");
  std::map<std::string, int> seen;
  listing.take(10, seen);
  EXPECT_TRUE(seen.empty());
  struct stat st = {};
  EXPECT_EQ(outcome(fstat(dirfd(listing.stream), &st)), "ok");
  EXPECT_EQ(st.st_nlink, 0U);
  EXPECT_EQ(outcome(openat(dirfd(listing.stream), "f", O_CREAT | O_WRONLY, 0600)), "ENOENT");
}

}  // namespace
}  // namespace kernel_test
