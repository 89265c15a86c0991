// Renames of what lies in the lower or in several layers: programs must see neither EXDEV nor a
// difference after a remount or when the upper has become a lower.
#include <fcntl.h>
#include <gtest/gtest.h>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

std::string move(const std::string& from, const std::string& to) {
  return outcome(rename(from.c_str(), to.c_str()));
}

std::string exchange(const std::string& one, const std::string& two) {
  return outcome(renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, two.c_str(), RENAME_EXCHANGE));
}

/// d/: low0 (lower 0), low1 (lower 1), same (both), sub/deep (lower 1), gone (to be deleted).
void make_layers(const OverlayMount& m) {
  for (int i = 0; i < 2; ++i) {
    make_dir(m.lower(i) + "/d");
    write_file(m.lower(i) + "/d/low" + std::to_string(i), "low" + std::to_string(i));
    write_file(m.lower(i) + "/d/same", "same" + std::to_string(i));
  }
  make_dir(m.lower(1) + "/d/sub");
  write_file(m.lower(1) + "/d/sub/deep", "deep");
  write_file(m.lower(1) + "/d/gone", "gone");
  make_link("same", m.lower(1) + "/d/link");
  own(m.lower(1) + "/d/sub", 1500, 1600);
  chmod((m.lower(1) + "/d/sub").c_str(), 0751);
}

void expect_layers(const std::string& dir) {
  EXPECT_EQ(names_in(dir), "link low0 low1 same sub");
  EXPECT_EQ(read_file(dir + "/same"), "same0");
  EXPECT_EQ(read_file(dir + "/low1"), "low1");
  EXPECT_EQ(read_file(dir + "/sub/deep"), "deep");
  EXPECT_EQ(link_text(dir + "/link"), "same");
  EXPECT_EQ(owner_of(dir + "/sub") + " " + mode_of(dir + "/sub"), "1500:1600 0751");
  EXPECT_EQ(list_xattr(dir) + list_xattr(dir + "/sub"), "");
}

TEST(Rename, MergedDirectoryKeepsItsContentAcrossRemounts) {
  OverlayMount m({.lowers = 2});
  make_layers(m);
  const std::string before = describe_tree(m.lower(0)) + describe_tree(m.lower(1));
  m.mount();
  unlink(m.at("d/gone").c_str());
  EXPECT_EQ(move(m.at("d"), m.at("e")), "ok");
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(names_in(m.merged()), "e");
    expect_layers(m.at("e"));
    m.remount();
  }
  EXPECT_EQ(describe_tree(m.lower(0)) + describe_tree(m.lower(1)), before);
}

TEST(Rename, MergedDirectoryAgainAndAgainAndIntoAnother) {
  OverlayMount m({.lowers = 2});
  make_layers(m);
  make_dir(m.lower(1) + "/other");
  m.mount();
  unlink(m.at("d/gone").c_str());
  EXPECT_EQ(move(m.at("d"), m.at("e")), "ok");
  EXPECT_EQ(move(m.at("e"), m.at("other/f")), "ok");
  m.remount();
  EXPECT_EQ(move(m.at("other"), m.at("another")), "ok");
  EXPECT_EQ(move(m.at("another/f/sub"), m.at("sub")), "ok");
  EXPECT_EQ(move(m.at("sub"), m.at("another/f/sub")), "ok");
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(names_in(m.merged()), "another");
    expect_layers(m.at("another/f"));
    m.remount();
  }
}

TEST(Rename, OldNameMadeAnewIsEmpty) {
  OverlayMount m({.lowers = 2});
  make_layers(m);
  m.mount();
  unlink(m.at("d/gone").c_str());
  EXPECT_EQ(move(m.at("d"), m.at("e")), "ok");
  EXPECT_EQ(make_dir(m.at("d")), "ok");
  EXPECT_EQ(write_file(m.at("d/low0"), "fresh"), "ok");
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(names_in(m.at("d")), "low0");
    EXPECT_EQ(read_file(m.at("d/low0")), "fresh");
    expect_layers(m.at("e"));
    m.remount();
  }
}

TEST(Rename, UpperWithRenamedDirectoriesServesAsALower) {
  OverlayMount m({.lowers = 2});
  make_layers(m);
  m.mount();
  unlink(m.at("d/gone").c_str());
  EXPECT_EQ(move(m.at("d"), m.at("e")), "ok");
  EXPECT_EQ(write_file(m.at("e/sub/more"), "more"), "ok");
  m.unmount();
  OverlayMount above({.lowers = 0, .lower_paths = {m.upper(), m.lower(0), m.lower(1)}});
  above.mount();
  EXPECT_EQ(names_in(above.merged()), "e");
  EXPECT_EQ(read_file(above.at("e/sub/more")), "more");
  EXPECT_EQ(outcome(unlink(above.at("e/sub/more").c_str())), "ok");
  EXPECT_EQ(move(above.at("e"), above.at("g")), "ok");
  for (int round = 0; round < 2; ++round) {
    expect_layers(above.at("g"));
    EXPECT_EQ(names_in(above.at("g/sub")), "deep");
    above.remount();
  }
}

TEST(Rename, OntoAnEmptyMergedDirectory) {
  OverlayMount m({.lowers = 2});
  make_layers(m);
  make_dir(m.lower(0) + "/target");
  make_dir(m.lower(1) + "/target");
  write_file(m.lower(1) + "/target/old", "old");
  m.mount();
  unlink(m.at("d/gone").c_str());
  EXPECT_EQ(move(m.at("d"), m.at("target")), "ENOTEMPTY");
  unlink(m.at("target/old").c_str());
  EXPECT_EQ(move(m.at("d"), m.at("target")), "ok");
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(names_in(m.merged()), "target");
    expect_layers(m.at("target"));
    m.remount();
  }
}

TEST(Rename, ExchangeOfDirectoriesFromDifferentLayers) {
  OverlayMount m({.lowers = 2});
  make_layers(m);
  write_file(m.lower(0) + "/file", "file");
  m.mount();
  unlink(m.at("d/gone").c_str());
  make_dir(m.at("up"));
  write_file(m.at("up/x"), "x");
  EXPECT_EQ(exchange(m.at("up"), m.at("d")), "ok");
  EXPECT_EQ(exchange(m.at("d"), m.at("file")), "ok");
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(names_in(m.merged()), "d file up");
    EXPECT_EQ(read_file(m.at("d")), "file");
    EXPECT_EQ(read_file(m.at("file/x")), "x");
    EXPECT_EQ(names_in(m.at("file")), "x");
    expect_layers(m.at("up"));
    m.remount();
  }
}

TEST(Rename, KeepsOpenDescriptorsAndInodeNumbers) {
  OverlayMount m({.lowers = 2});
  make_layers(m);
  m.mount();
  const base::Fd file = open_at(m.at("d/sub/deep"), O_RDWR);
  const base::Fd dir = open_at(m.at("d/sub"), O_RDONLY | O_DIRECTORY);
  const ino_t number = stat_of(m.at("d/sub/deep")).st_ino;
  EXPECT_EQ(move(m.at("d"), m.at("e")), "ok");
  EXPECT_EQ(move(m.at("e/sub/deep"), m.at("moved")), "ok");
  EXPECT_EQ(stat_of(m.at("moved")).st_ino, number);
  EXPECT_EQ(outcome(pwrite(file.get(), "DEEP", 4, 0)), "ok");
  EXPECT_EQ(read_file(m.at("moved")), "DEEP");
  EXPECT_EQ(outcome(base::Fd(openat(dir.get(), "new", O_CREAT | O_WRONLY, 0600))), "ok");
  EXPECT_EQ(names_in(m.at("e/sub")), "new");
  EXPECT_EQ(read_file(m.lower(1) + "/d/sub/deep"), "deep");
}

/// What rename(2) refuses, in the order in which the disk refuses it.
TEST(Rename, ErrorsAreThoseOfTheDisk) {
  const auto prepare = [](const std::string& dir) {
    for (const char* name : {"/d", "/d/in", "/empty", "/full"}) make_dir(dir + name);
    write_file(dir + "/full/x", "x");
    write_file(dir + "/f", "f");
    write_file(dir + "/g", "g");
    make_link("f", dir + "/l");
  };
  const auto story = [](const std::string& dir) {
    const std::vector<std::pair<const char*, const char*>> cases = {
        {"f", "d"},     {"d", "f"},       {"d", "full"},  {"d", "d/in/x"}, {"d", "d/in"},
        {"none", "f"},  {"f", "none/x"},  {"f", "g/x"},   {"f", "f"},      {"l", "f/"},
        {"d/in", "d"},  {"f/", "x"},      {"d", "empty"}, {"l", "g"},      {"empty", "new/"},
        {"f", "new/x"}, {"new/.", "new2"}};
    std::string text;
    for (const auto& [from, to] : cases) {
      text += move(dir + "/" + from, dir + "/" + to) + " ";
      text += exchange(dir + "/" + from, dir + "/" + to) + "\n";
    }
    return text + describe_tree(dir);
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Rename, ByAnOwnerWhoMayNotReadTheDirectory) {
  OverlayMount m;
  make_dir(m.lower() + "/home");
  own(m.lower() + "/home", 1000, 1000);
  make_dir(m.lower() + "/home/d", 0300);
  own(m.lower() + "/home/d", 1000, 1000);
  write_file(m.lower() + "/home/d/f", "f");
  m.mount();
  EXPECT_EQ(run_as(1000, 1000, {}, [&] { return move(m.at("home/d"), m.at("home/e")); }), "ok");
  EXPECT_EQ(read_file(m.at("home/e/f")), "f");
  EXPECT_EQ(mode_of(m.at("home/e")), "0300");
  EXPECT_EQ(owner_of(m.at("home/e")) + " " + owner_of(m.at("home/e/f")), "1000:1000 0:0");
}

TEST(Rename, StickyDirectoryProtectsTheFilesOfOthers) {
  OverlayMount m;
  make_dir(m.lower() + "/tmp");
  chmod((m.lower() + "/tmp").c_str(), 01777);
  write_file(m.lower() + "/tmp/f", "f");
  own(m.lower() + "/tmp/f", 1000, 1000);
  m.mount();
  const auto stolen = [&] { return move(m.at("tmp/f"), m.at("tmp/g")); };
  EXPECT_EQ(run_as(1001, 1001, {}, stolen), "EPERM");
  EXPECT_EQ(run_as(1001, 1001, {}, [&] { return outcome(unlink(m.at("tmp/f").c_str())); }),
            "EPERM");
  EXPECT_EQ(run_as(1000, 1000, {}, stolen), "ok");
}

}  // namespace
}  // namespace kernel_test
