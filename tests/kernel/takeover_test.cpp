// A server dies at every point of every operation, and nobody who uses the mount sees more of it
// than a short wait.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/kernel/takeover_clients.hpp"
#include "tests/kernel/takeover_rig.hpp"

namespace kernel_test {
namespace {

using fusefs::Point;

constexpr Point kPoints[] = {Point::received, Point::begun, Point::happened, Point::answering,
                             Point::answered};
constexpr const char* kPointNames[] = {"received", "begun", "happened", "answering", "answered"};

/// One operation: what there is before, the call, and what must be seen afterwards.
struct Case {
  const char* name;
  std::uint32_t opcode;
  std::function<void(const std::string& dir)> prepare;
  std::function<std::string(const std::string& dir)> act;
  std::function<std::string(const std::string& dir)> after;
  std::string expected;
};

std::string rename_flags(const std::string& dir, const char* from, const char* to, unsigned flags) {
  return outcome(renameat2(AT_FDCWD, (dir + from).c_str(), AT_FDCWD, (dir + to).c_str(), flags));
}

std::string open_create(const std::string& dir) {
  const base::Fd fd = open_at(dir + "/new", O_CREAT | O_EXCL | O_RDWR, 0640);
  if (!fd.valid()) return outcome(fd);
  return outcome(write(fd.get(), "text", 4)) + outcome(fsync(fd.get()));
}

std::string unnamed(const std::string& dir) {
  const base::Fd fd = open_at(dir, O_TMPFILE | O_RDWR);
  if (!fd.valid()) return outcome(fd);
  if (write(fd.get(), "text", 4) != 4) return "write";
  const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
  return outcome(
      linkat(AT_FDCWD, self.c_str(), AT_FDCWD, (dir + "/new").c_str(), AT_SYMLINK_FOLLOW));
}

std::string unlink_open(const std::string& dir) {
  const base::Fd fd = open_at(dir + "/f", O_RDWR);
  if (unlink((dir + "/f").c_str()) != 0) return outcome(-1);
  if (pwrite(fd.get(), "more", 4, 4) != 4) return "write " + outcome(-1);
  if (fsync(fd.get()) != 0) return "fsync " + outcome(-1);
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  char text[16] = {};
  if (pread(fd.get(), text, sizeof text, 0) != 8) return "read " + outcome(-1);
  return text;
}

std::string rename_over_open(const std::string& dir) {
  const base::Fd fd = open_at(dir + "/g", O_RDWR);
  const std::string did = rename_flags(dir, "/f", "/g", 0);
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  return did + " " + read_fd(fd.get());
}

void two_files(const std::string& dir) {
  write_file(dir + "/f", "eff!");
  write_file(dir + "/g", "gee!");
}

void two_dirs(const std::string& dir) {
  make_dir(dir + "/d");
  make_dir(dir + "/e");
  write_file(dir + "/d/inside", "in");
}

std::string both(const std::string& dir) {
  return names_in(dir) + ": " + read_file(dir + "/f") + " " + read_file(dir + "/g");
}

std::vector<Case> creations() {
  auto none = [](const std::string&) {};
  auto names = [](const std::string& dir) { return names_in(dir); };
  auto fresh = [](const std::string& dir) {
    return names_in(dir) + " " + kind_of(dir + "/new") + " " + mode_of(dir + "/new") + " " +
           owner_of(dir + "/new");
  };
  auto content = [](const std::string& dir) { return read_file(dir + "/new"); };
  return {
      {"create", FUSE_CREATE, none, open_create,
       [=](const std::string& dir) { return fresh(dir) + " " + content(dir); },
       "new file 0640 0:0 text"},
      {"mkdir", FUSE_MKDIR, none, [](const std::string& dir) { return make_dir(dir + "/new"); },
       fresh, "new dir 0755 0:0"},
      {"mknod", FUSE_MKNOD, none,
       [](const std::string& dir) {
         return outcome(mknod((dir + "/new").c_str(), S_IFIFO | 0600, 0));
       },
       fresh, "new fifo 0600 0:0"},
      {"symlink", FUSE_SYMLINK, none,
       [](const std::string& dir) { return make_link("target", dir + "/new"); },
       [](const std::string& dir) { return link_text(dir + "/new"); }, "target"},
      {"link", FUSE_LINK, two_files,
       [](const std::string& dir) {
         return outcome(link((dir + "/f").c_str(), (dir + "/new").c_str()));
       },
       [](const std::string& dir) {
         return read_file(dir + "/new") + std::to_string(stat_of(dir + "/f").st_nlink) +
                (stat_of(dir + "/f").st_ino == stat_of(dir + "/new").st_ino ? " same" : " other");
       },
       "eff!2 same"},
      {"unlink", FUSE_UNLINK, two_files,
       [](const std::string& dir) { return outcome(unlink((dir + "/f").c_str())); }, names, "g"},
      {"unlink_open", FUSE_UNLINK, two_files, unlink_open, names, "g"},
      {"rmdir_open", FUSE_RMDIR, [](const std::string& dir) { make_dir(dir + "/d"); },
       [](const std::string& dir) {
         const base::Fd fd = open_at(dir + "/d", O_RDONLY | O_DIRECTORY);
         const std::string did = outcome(rmdir((dir + "/d").c_str()));
         struct stat st {};
         return did + outcome(fstat(fd.get(), &st)) + std::to_string(st.st_nlink) +
                names_in("/proc/self/fd/" + std::to_string(fd.get()));
       },
       names, ""},
      {"rmdir", FUSE_RMDIR, [](const std::string& dir) { make_dir(dir + "/d"); },
       [](const std::string& dir) { return outcome(rmdir((dir + "/d").c_str())); }, names, ""},
  };
}

std::vector<Case> removals() {
  auto content = [](const std::string& dir) { return read_file(dir + "/new"); };
  auto new_mark = [](const std::string& dir) { return get_xattr(dir + "/f", "user.mark"); };
  return {
      {"rename", FUSE_RENAME2, two_files,
       [](const std::string& dir) { return rename_flags(dir, "/f", "/new", RENAME_NOREPLACE); },
       [=](const std::string& dir) { return names_in(dir) + " " + content(dir); }, "g new eff!"},
      {"rename_over", FUSE_RENAME, two_files, rename_over_open, both, "g: <ENOENT> eff!"},
      {"rename_dir", FUSE_RENAME, two_dirs,
       [](const std::string& dir) { return rename_flags(dir, "/d", "/new", 0); },
       [](const std::string& dir) { return names_in(dir) + ": " + names_in(dir + "/new"); },
       "e new: inside"},
      {"rename_over_dir", FUSE_RENAME, two_dirs,
       [](const std::string& dir) { return rename_flags(dir, "/d", "/e", 0); },
       [](const std::string& dir) { return names_in(dir) + ": " + names_in(dir + "/e"); },
       "e: inside"},
      {"exchange_dirs", FUSE_RENAME2, two_dirs,
       [](const std::string& dir) { return rename_flags(dir, "/d", "/e", RENAME_EXCHANGE); },
       [](const std::string& dir) { return names_in(dir + "/d") + ": " + names_in(dir + "/e"); },
       ": inside"},
      {"exchange", FUSE_RENAME2, two_files,
       [](const std::string& dir) { return rename_flags(dir, "/f", "/g", RENAME_EXCHANGE); }, both,
       "f g: gee! eff!"},
      {"setxattr", FUSE_SETXATTR, two_files,
       [](const std::string& dir) { return set_xattr(dir + "/f", "user.mark", "1", XATTR_CREATE); },
       new_mark, "1"},
      {"removexattr", FUSE_REMOVEXATTR,
       [](const std::string& dir) {
         two_files(dir);
         set_xattr(dir + "/f", "user.mark", "1");
       },
       [](const std::string& dir) { return remove_xattr(dir + "/f", "user.mark"); }, new_mark,
       "<ENODATA>"},
  };
}

std::vector<Case> contents() {
  auto none = [](const std::string&) {};
  auto names = [](const std::string& dir) { return names_in(dir); };
  auto content = [](const std::string& dir) { return read_file(dir + "/new"); };
  return {
      {"tmpfile", 51, none, unnamed, [=](const std::string& dir) { return content(dir); }, "text"},
      {"release_created", FUSE_RELEASE, none, open_create, names, "new"},
      {"write", FUSE_WRITE, two_files,
       [](const std::string& dir) { return append_file(dir + "/f", "more"); }, both,
       "f g: eff!more gee!"},
      {"setattr", FUSE_SETATTR, two_files,
       [](const std::string& dir) {
         return outcome(chown((dir + "/f").c_str(), 7, 8)) +
                outcome(chmod((dir + "/f").c_str(), 0600));
       },
       [](const std::string& dir) { return owner_of(dir + "/f") + mode_of(dir + "/f"); },
       "7:80600"},
      {"truncate", FUSE_SETATTR, two_files,
       [](const std::string& dir) { return outcome(truncate((dir + "/f").c_str(), 3)); }, both,
       "f g: eff gee!"},
      {"fallocate", FUSE_FALLOCATE, two_files,
       [](const std::string& dir) {
         const base::Fd fd = open_at(dir + "/f", O_RDWR);
         return outcome(fallocate(fd.get(), 0, 0, 4096));
       },
       [](const std::string& dir) { return std::to_string(stat_of(dir + "/f").st_size); }, "4096"},
      {"copy_file_range", FUSE_COPY_FILE_RANGE, two_files,
       [](const std::string& dir) {
         const base::Fd from = open_at(dir + "/f", O_RDWR), to = open_at(dir + "/g", O_RDWR);
         return outcome(copy_file_range(from.get(), nullptr, to.get(), nullptr, 4, 0));
       },
       both, "f g: eff! eff!"},
      {"readdir", FUSE_READDIRPLUS, two_files, names, both, "f g: eff! gee!"},
      {"lookup", FUSE_LOOKUP, two_files,
       [](const std::string& dir) { return kind_of(dir + "/absent") + kind_of(dir + "/f"); }, both,
       "f g: eff! gee!"},
      {"fsync", FUSE_FSYNC, two_files,
       [](const std::string& dir) {
         const base::Fd fd = open_at(dir + "/f", O_RDWR);
         return outcome(pwrite(fd.get(), "EFF", 3, 0)) + outcome(fsync(fd.get()));
       },
       both, "f g: EFF! gee!"},
  };
}

/// Where the kernel asks; else it tells of no open, and after the first one of no release.
std::vector<Case> opens() {
  return {
      {"release", FUSE_RELEASE, two_files,
       [](const std::string& dir) { return read_file(dir + "/f"); }, both, "f g: eff! gee!"},
      {"open", FUSE_OPEN, two_files, [](const std::string& dir) { return read_file(dir + "/f"); },
       both, "f g: eff! gee!"},
  };
}

std::vector<Case> cases() {
  std::vector<Case> all = creations();
  for (const auto& more : {removals(), contents()}) all.insert(all.end(), more.begin(), more.end());
  return all;
}

/// Where the directory's content lies before the operation.
enum class Where { lower, upper, over_whiteout };
constexpr const char* kWhereNames[] = {"lower", "upper", "over_whiteout"};

bool changes(std::uint32_t opcode) {
  constexpr std::uint32_t kAll[] = {FUSE_CREATE,  FUSE_MKDIR,    FUSE_MKNOD,      FUSE_SYMLINK,
                                    FUSE_LINK,    FUSE_UNLINK,   FUSE_RMDIR,      FUSE_RENAME,
                                    FUSE_RENAME2, FUSE_SETXATTR, FUSE_REMOVEXATTR};
  return std::find(std::begin(kAll), std::end(kAll), opcode) != std::end(kAll);
}

void try_case(const Case& test, Where where, const std::string& whiteout, bool asked = false) {
  const auto dir_name = [](std::size_t i) { return "d" + std::to_string(i); };
  TakeoverMount mount(
      [&](const std::string& lower) {
        for (std::size_t i = 0; i < std::size(kPoints); ++i) {
          const std::string dir = lower + "/" + dir_name(i);
          if (where == Where::upper) continue;
          make_dir(dir);
          test.prepare(dir);
          if (where == Where::over_whiteout) write_file(dir + "/new", "hidden");
        }
      },
      60, whiteout, asked);
  for (std::size_t i = 0; i < std::size(kPoints); ++i) {
    const std::string dir = mount.at(dir_name(i));
    SCOPED_TRACE(std::string(test.name) + " at " + kPointNames[i] + " in " +
                 kWhereNames[static_cast<int>(where)] + " with " + whiteout + " whiteouts");
    if (where == Where::upper) {
      make_dir(dir);
      test.prepare(dir);
    }
    if (where == Where::over_whiteout) unlink((dir + "/new").c_str());
    const std::string expected_said = [&] {  // by a directory beside it, without any death
      const std::string calm = mount.at("calm" + std::to_string(i));
      make_dir(calm);
      test.prepare(calm);
      const std::string said = test.act(calm);
      EXPECT_EQ(test.after(calm), test.expected) << "without a death";
      return said;
    }();
    stat_of(dir);
    mount.die_at(kPoints[i], test.opcode);
    EXPECT_EQ(test.act(dir), expected_said);
    EXPECT_EQ(test.after(dir), test.expected);
    // Nothing is announced where done twice is done once; a RELEASE comes when it likes.
    const bool announced = i == 0 || i > 2 || changes(test.opcode);
    if (announced && test.opcode != FUSE_RELEASE)
      EXPECT_EQ(mount.shared().armed.exchange(0), 0) << "never came by there";
    mount.shared().armed = 0;
    mount.kill_now();  // and once more, from what the successor has written down
    EXPECT_EQ(test.after(dir), test.expected);
    EXPECT_EQ(mount.shared().broken, 0);
  }
  EXPECT_GE(mount.shared().deaths, static_cast<int>(std::size(kPoints)));
  EXPECT_EQ(mount.shared().lost, 0);
  EXPECT_EQ(mount.end(), 0);
}

TEST(Takeover, AtEveryPointOfEveryOperation) {
  for (const Case& test : cases())
    for (Where where : {Where::lower, Where::upper}) {
      try_case(test, where, "device");
      if (HasFatalFailure()) return;
    }
}

TEST(Takeover, WhereOpensAreAskedFor) {
  std::vector<Case> all = cases();
  for (const Case& test : opens()) all.push_back(test);
  for (const Case& test : all)
    for (Where where : {Where::lower, Where::upper}) {
      try_case(test, where, "device", true);
      if (HasFatalFailure()) return;
    }
}

TEST(Takeover, WhereWhiteoutsAreFiles) {
  for (const Case& test : cases())
    if (test.opcode == FUSE_UNLINK || test.opcode == FUSE_RMDIR || test.opcode == FUSE_RENAME ||
        test.opcode == FUSE_RENAME2)
      try_case(test, Where::lower, "file");
}

TEST(Takeover, OverAWhiteout) {
  for (const Case& test : cases())
    if (test.expected.find("new") != std::string::npos || test.opcode == FUSE_SYMLINK)
      for (const char* form : {"device", "file"}) try_case(test, Where::over_whiteout, form);
}

constexpr std::size_t kBig = 3000;
constexpr int kClients = 4;

std::uint64_t seed_of_run() {
  const char* given = getenv("UNI_SEED");
  return given ? std::strtoull(given, nullptr, 10) : std::random_device()();
}

void fill_lower(const std::string& lower) {
  make_dir(lower + "/big");
  for (std::size_t i = 0; i < kBig; ++i)
    write_file(lower + "/big/a rather long name, so that a reply holds few " + std::to_string(i),
               "");
}

std::string play(TakeoverMount& mount, std::uint64_t seed, int milliseconds) {
  std::vector<base::Fd> told;
  for (int i = 0; i < kClients; ++i) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return "pipe";
    told.emplace_back(ends[0]);
    const base::Fd tell(ends[1]);
    const std::string dir = mount.at("client" + std::to_string(i));
    if (::fork() != 0) continue;
    make_dir(dir);
    Client client(dir, mount.at("big"), kBig, seed + static_cast<std::uint64_t>(i));
    std::string wrong = client.play(milliseconds);
    if (wrong.empty()) wrong = client.check();
    const std::string text =
        wrong.empty() ? "" : "client " + std::to_string(i) + " " + wrong + "\n";
    ::_exit(::write(tell.get(), text.data(), text.size()) < 0);
  }
  std::string all;
  for (const base::Fd& fd : told) {
    char text[2000];
    for (ssize_t got; (got = ::read(fd.get(), text, sizeof text)) > 0;)
      all.append(text, static_cast<std::size_t>(got));
  }
  return all;
}

TEST(Takeover, UnderLoad) {
  const std::uint64_t seed = seed_of_run();
  SCOPED_TRACE("UNI_SEED=" + std::to_string(seed));
  TakeoverMount mount(fill_lower);
  mount.shared().kill_after_us = 100000;
  EXPECT_EQ(play(mount, seed, 8000), "");
  mount.shared().kill_after_us = 0;
  mount.kill_now();
  mount.kill_now();
  EXPECT_GE(mount.shared().deaths, 30);
  EXPECT_EQ(mount.shared().broken, 0);
  EXPECT_EQ(mount.shared().lost, 0);
  EXPECT_EQ(mount.shared().handles, 0) << "handles that nobody has open";
  EXPECT_EQ(mount.shared().kept, 0) << "descriptors kept of files that nobody has open";
  std::printf("seed %llu: %d deaths, %ld nodes, longest take-over %ld us\n",
              static_cast<unsigned long long>(seed), mount.shared().deaths.load(),
              mount.shared().nodes.load(), mount.shared().longest_stall_us.load());
  EXPECT_EQ(mount.end(), 0);
  EXPECT_EQ(names_in(mount.upper() + "/../work/work"), "");
}

/// As rm -r does: names go while the directory is read, of which a position must not lose its
/// place.
TEST(Takeover, ReadingADirectoryThatChanges) {
  TakeoverMount mount(fill_lower, 60);
  mount.shared().kill_after_us = 40000;
  for (std::size_t i = 0; i < kBig; ++i)  // half of them in the upper layer
    if (i % 2) write_file(mount.at("big/new") + std::to_string(i), "");
  DIR* dir = ::opendir(mount.at("big").c_str());
  ASSERT_NE(dir, nullptr);
  std::size_t removed = 0;
  std::set<std::string> seen;
  errno = 0;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    EXPECT_TRUE(seen.insert(name).second) << "twice: " << name;
    EXPECT_EQ(outcome(unlink(mount.at("big/" + name).c_str())), "ok") << name;
    ++removed;
    errno = 0;
  }
  EXPECT_EQ(errno, 0);
  ::closedir(dir);
  EXPECT_EQ(removed, kBig + kBig / 2);
  EXPECT_EQ(outcome(rmdir(mount.at("big").c_str())), "ok");
  mount.shared().kill_after_us = 0;
  EXPECT_GE(mount.shared().deaths, 5);
  EXPECT_EQ(mount.end(), 0);
}

/// A kernel before 6.9: what was under way is answered by an error, once, and nobody hangs.
TEST(Takeover, WithoutResend) {
  TakeoverMount mount({}, 60);
  mount.shared().hide_resend = 1;
  make_dir(mount.at("d"));
  write_file(mount.at("d/f"), "eff!");
  mount.die_at(Point::received, FUSE_MKDIR);
  EXPECT_EQ(make_dir(mount.at("d/lost")), "EIO");
  for (int i = 0; i < 2000 && mount.shared().lost == 0; ++i) usleep(1000);  // said after the answer
  EXPECT_EQ(mount.shared().lost, 1);
  EXPECT_EQ(names_in(mount.at("d")), "f");
  EXPECT_EQ(make_dir(mount.at("d/lost")), "ok");
  mount.die_at(Point::happened, FUSE_UNLINK);
  EXPECT_EQ(outcome(unlink(mount.at("d/f").c_str())), "ok") << "done, and needs no more than that";
  EXPECT_EQ(mount.shared().lost, 1);
  base::Fd fd = open_at(mount.at("d/g"), O_CREAT | O_RDWR);
  EXPECT_EQ(outcome(write(fd.get(), "gee!", 4)) + outcome(fsync(fd.get())), "okok");
  mount.kill_now();
  EXPECT_EQ(read_fd(fd.get()), "gee!");
  fd.reset();
  EXPECT_EQ(names_in(mount.at("d")), "g lost");
  EXPECT_EQ(mount.shared().lost, 1);
  EXPECT_EQ(mount.end(), 0);
}

/// What a loop of creating and unlinking gets to see then: EIO now and then, and nothing worse.
TEST(Takeover, WithoutResendUnderLoad) {
  TakeoverMount mount({}, 60);
  mount.shared().hide_resend = 1;
  mount.shared().kill_after_us = 40000;
  const std::string told = run_as(0, 0, {}, [&] {
    int errors = 0;
    for (int i = 0; i < 4000; ++i) {
      const std::string made = write_file(mount.at("f"), "text");
      const std::string gone = outcome(unlink(mount.at("f").c_str()));
      for (const std::string& did : {made, gone}) {
        errors += did == "EIO";
        if (did != "ok" && did != "EIO" && did != "ENOENT") return did;
      }
    }
    return std::string(errors < 400 ? "ok" : "too many errors: " + std::to_string(errors));
  });
  EXPECT_EQ(told, "ok");
  mount.shared().kill_after_us = 0;
  EXPECT_GE(mount.shared().deaths, 5);
  EXPECT_EQ(make_dir(mount.at("after")), "ok");
  EXPECT_EQ(mount.end(), 0);
}

}  // namespace
}  // namespace kernel_test
