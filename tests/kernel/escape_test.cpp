// Leaving the layers: by symlink, `..`, a race of renames, a hard link. The stories run in a
// chroot of the mount, so whatever they reach outside, the daemon has reached for them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

using Clock = std::chrono::steady_clock;
constexpr char secret[] = "the secret outside";

void make_outside(const OverlayMount& m) {
  write_file(m.outside() + "/secret", secret);
  make_dir(m.outside() + "/dir");
  write_file(m.outside() + "/dir/secret", secret);
}

/// What must be as before, whatever was done inside.
std::string outside_state(const OverlayMount& m) {
  return describe_tree(m.outside());
}

TEST(Escape, SymlinksOfALayerLeadNowhere) {
  OverlayMount m;
  make_outside(m);
  for (const auto& at : {m.lower(), m.upper()}) {
    const std::string mark = at == m.upper() ? "up" : "low";
    make_link(m.outside() + "/secret", at + "/abs-" + mark);
    make_link("../outside/secret", at + "/rel-" + mark);
    make_link("../outside/dir", at + "/dir-" + mark);
  }
  const std::string before = outside_state(m);
  m.mount();
  const std::string told = run_in(m.merged(), 0, [] {
    std::string text;
    for (const std::string mark : {"low", "up"}) {
      for (const std::string kind : {"/abs-", "/rel-", "/dir-"}) {
        const std::string path = kind + mark;
        for (const std::string& at : {path, path + "/secret"}) {
          if (read_file(at).find("secret") != std::string::npos) text += "read " + at + "\n";
          if (outcome(open_at(at, O_WRONLY)) == "ok") text += "opened " + at + "\n";
          if (outcome(truncate(at.c_str(), 0)) == "ok") text += "truncated " + at + "\n";
          if (outcome(chmod(at.c_str(), 0777)) == "ok") text += "chmod " + at + "\n";
          if (outcome(chown(at.c_str(), 5, 5)) == "ok") text += "chown " + at + "\n";
        }
        if (write_file(path + "/new", "x") == "ok") text += "made a file in " + path + "\n";
      }
    }
    return text;
  });
  EXPECT_EQ(told, "");
  EXPECT_EQ(outside_state(m), before);
}

/// A name that is a directory in one layer and a symlink in the next.
TEST(Escape, LayersDoNotMergeThroughASymlink) {
  OverlayMount m({.lowers = 2});
  make_outside(m);
  make_dir(m.lower(0) + "/d");
  write_file(m.lower(0) + "/d/own", "own");
  make_link("../outside/dir", m.lower(1) + "/d");
  make_dir(m.lower(1) + "/e");
  make_link("../outside/dir", m.lower(0) + "/e");
  make_dir(m.lower(1) + "/f");
  write_file(m.lower(1) + "/f/own", "own");
  make_link("../../outside/dir", m.lower(0) + "/g");
  make_dir(m.lower(1) + "/g");
  const std::string before = outside_state(m);
  m.mount();
  EXPECT_EQ(names_in(m.at("d")), "own");
  EXPECT_EQ(read_file(m.at("d/secret")), "<ENOENT>");
  EXPECT_EQ(kind_of(m.at("e")), "link");
  EXPECT_EQ(write_file(m.at("d/new"), "x"), "ok");
  EXPECT_EQ(write_file(m.at("f/own"), "x"), "ok");
  EXPECT_EQ(outside_state(m), before);
  EXPECT_EQ(read_file(m.upper() + "/d/new"), "x");
}

/// The upper is changed behind the daemon's back, as an attacker in another mount of it could.
TEST(Escape, DirectoryReplacedByASymlinkBehindTheDaemon) {
  OverlayMount m;
  make_outside(m);
  m.mount();
  make_dir(m.at("d"));
  write_file(m.at("d/secret"), "inside");
  EXPECT_EQ(names_in(m.at("d")), "secret");
  ASSERT_EQ(outcome(rename((m.upper() + "/d").c_str(), (m.upper() + "/moved").c_str())), "ok");
  ASSERT_EQ(make_link(m.outside() + "/dir", m.upper() + "/d"), "ok");
  const std::string before = outside_state(m);
  run_in(m.merged(), 0, [] {
    write_file("/d/new", "x");
    chmod("/d/secret", 0777);
    unlink("/d/secret");
    make_dir("/d/newdir");
    write_file("/d/secret", "overwritten");
    return std::string();
  });
  EXPECT_EQ(outside_state(m), before);
}

TEST(Escape, DotDotOfTheRootIsTheRoot) {
  OverlayMount m;
  make_outside(m);
  write_file(m.lower() + "/here", "x");
  make_dir(m.lower() + "/d");
  m.mount();
  const std::string told = run_in(m.merged(), 0, [] {
    return names_in("/..") + "|" + names_in("/d/../../..") + "|" + read_file("/../outside/secret");
  });
  EXPECT_EQ(told, "d here|d here|<ENOENT>");
}

TEST(Escape, HardLinkOfASymlinkIsTheSymlink) {
  OverlayMount m;
  make_outside(m);
  make_link(m.outside() + "/secret", m.lower() + "/s");
  const std::string before = outside_state(m);
  m.mount();
  EXPECT_EQ(outcome(link(m.at("s").c_str(), m.at("t").c_str())), "ok");
  EXPECT_EQ(kind_of(m.at("t")), "link");
  EXPECT_EQ(own(m.at("t"), 60000, 60000), "ok");
  EXPECT_EQ(owner_of(m.at("t")), "60000:60000");
  EXPECT_EQ(outcome(link((m.outside() + "/secret").c_str(), m.at("u").c_str())), "EXDEV");
  EXPECT_EQ(outside_state(m), before);
}

/// A file of the upper that has another name outside of the layer must not be reached by a copy-up
/// of a lower, nor a lower file with a name outside be changed by one.
TEST(Escape, HardLinkedLowerFileIsNeverWritten) {
  OverlayMount m;
  make_outside(m);
  ASSERT_EQ(outcome(link((m.outside() + "/secret").c_str(), (m.lower() + "/linked").c_str())),
            "ok");
  const std::string before = outside_state(m);
  m.mount();
  EXPECT_EQ(append_file(m.at("linked"), "!"), "ok");
  EXPECT_EQ(outcome(chmod(m.at("linked").c_str(), 0777)), "ok");
  EXPECT_EQ(own(m.at("linked"), 60000, 60000), "ok");
  EXPECT_EQ(set_xattr(m.at("linked"), "user.note", "x"), "ok");
  EXPECT_EQ(outside_state(m), before);
}

/// One thread exchanges a directory with a symlink that points out of the layers, others work
/// below the name. Whatever they hit must lie inside.
std::string race(int seconds) {
  const auto end = Clock::now() + std::chrono::seconds(seconds);
  std::atomic<int> leaks = 0;
  std::atomic<int> hits = 0;
  const auto exchange = [&] {
    while (Clock::now() < end) {
      renameat2(AT_FDCWD, "/d", AT_FDCWD, "/s", RENAME_EXCHANGE);
      renameat2(AT_FDCWD, "/low", AT_FDCWD, "/s2", RENAME_EXCHANGE);
    }
  };
  const auto work = [&](const std::string& name) {
    for (int i = 0; Clock::now() < end; ++i) {
      const std::string text = read_file(name + "/secret");
      if (text == "inside") ++hits;
      if (text == secret) ++leaks;
      const std::string made = name + "/made" + std::to_string(i % 50);
      write_file(made, "x");
      chmod((name + "/secret").c_str(), i % 2 == 0 ? 0600 : 0644);
      unlink(made.c_str());
      rename((name + "/in").c_str(), (name + "/in2").c_str());
      rename((name + "/in2").c_str(), (name + "/in").c_str());
      if (names_in(name).find("dirsecret") != std::string::npos) ++leaks;
    }
  };
  {
    std::jthread one(exchange);
    std::jthread two(work, "/d");
    std::jthread three(work, "/low");
  }
  return std::to_string(leaks) + " leaks, " + (hits > 0 ? "some hits" : "no hits");
}

TEST(Escape, RaceOfRenamesStaysInside) {
  OverlayMount m;
  make_outside(m);
  write_file(m.outside() + "/dir/dirsecret", secret);
  make_dir(m.lower() + "/low");
  write_file(m.lower() + "/low/secret", "inside");
  write_file(m.lower() + "/low/in", "x");
  m.mount();
  make_dir(m.at("d"));
  write_file(m.at("d/secret"), "inside");
  write_file(m.at("d/in"), "x");
  make_link("../outside/dir", m.at("s"));
  make_link(m.outside() + "/dir", m.at("s2"));
  const std::string before = outside_state(m);
  EXPECT_EQ(run_in(m.merged(), 0, [] { return race(3); }), "0 leaks, some hits");
  EXPECT_EQ(outside_state(m), before);
}

}  // namespace
}  // namespace kernel_test
