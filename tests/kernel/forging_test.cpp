// Forging: nothing that is done through the mount may touch the names with which the layers keep
// owners, whiteouts and origins, be it by root or by a container's user.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "tests/kernel/fixture.hpp"

namespace kernel_test {
namespace {

const char* const internal_names[] = {
    "user.usernetes.uid",
    "user.usernetes.gid",
    "user.usernetes.mode",
    "user.usernetes.anything",
    "user.overlay.opaque",
    "user.overlay.redirect",
    "user.overlay.whiteout",
    "user.overlay.metacopy",
    "trusted.overlay.opaque",
    "trusted.overlay.redirect",
    "trusted.overlay.origin",
    "trusted.overlay.metacopy",
    "user.fuseoverlayfs.opaque",
    "user.fuseoverlayfs.origin",
    "user.fuseoverlayfs.override_stat",
    "user.containers.override_stat",
    "user.containers.override_security.capability",
    "user.rootlesscontainers",
};

class InternalName : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    write_file(m.lower() + "/low", "text", 0666);
    make_dir(m.lower() + "/dir", 0777);
    chmod((m.lower() + "/dir").c_str(), 0777);
    chmod((m.lower() + "/low").c_str(), 0666);
    for (const std::string name : {"/low", "/dir"}) {
      own(m.lower() + name, 1000, 1000);
      set_xattr(m.lower() + name, "user.note", "seen");
    }
    m.mount();
    write_file(m.at("up"), "text");
    own(m.at("up"), 1000, 1000);
    set_xattr(m.at("up"), "user.note", "seen");
  }
  OverlayMount m;
};

/// A refusal: not "ok". Which errno is the kernel's or ours; EPERM from us.
bool refused(const std::string& answer) {
  return answer == "EPERM" || answer == "EOPNOTSUPP" || answer == "EACCES" || answer == "ENODATA";
}

TEST_P(InternalName, CannotBeSetReadListedOrRemoved) {
  const std::string name = GetParam();
  for (const uid_t uid : {0U, 1000U}) {
    for (const std::string file : {"low", "up", "dir"}) {
      const std::string before = owner_of(m.at(file)) + mode_of(m.at(file));
      const auto act = [&](auto story) { return run_as(uid, uid, {}, story); };
      for (const std::string value : {"0:0:4755", "0", "y", "", "/etc"}) {
        const std::string did = act([&] { return set_xattr(m.at(file), name, value); });
        EXPECT_TRUE(refused(did)) << uid << " " << file << " " << did;
      }
      EXPECT_EQ(act([&] { return get_xattr(m.at(file), name); }), "<ENODATA>") << file;
      EXPECT_TRUE(refused(act([&] { return remove_xattr(m.at(file), name); }))) << file;
      EXPECT_EQ(list_xattr(m.at(file)), "user.note") << file;
      EXPECT_EQ(owner_of(m.at(file)) + mode_of(m.at(file)), before) << file;
    }
  }
  m.remount();
  EXPECT_EQ(owner_of(m.at("low")) + " " + mode_of(m.at("low")), "1000:1000 0666");
  EXPECT_EQ(owner_of(m.at("up")), "1000:1000");
  EXPECT_EQ(names_in(m.at("dir")), "");
}

/// What the layer itself brings along stays hidden, whoever asks.
TEST_P(InternalName, OfTheLayerIsHidden) {
  const std::string name = GetParam();
  OverlayMount layered;
  write_file(layered.lower() + "/f", "text");
  ASSERT_EQ(set_xattr(layered.lower() + "/f", name, "7"), "ok");
  set_xattr(layered.lower() + "/f", "user.note", "seen");
  layered.mount();
  EXPECT_EQ(list_xattr(layered.at("f")), "user.note");
  EXPECT_EQ(get_xattr(layered.at("f"), name), "<ENODATA>");
  EXPECT_TRUE(refused(remove_xattr(layered.at("f"), name)));
  EXPECT_EQ(append_file(layered.at("f"), "!"), "ok");
  EXPECT_EQ(list_xattr(layered.at("f")), "user.note");
  EXPECT_EQ(llistxattr(layered.at("f").c_str(), nullptr, 0), 10) << "the size that is announced";
}

INSTANTIATE_TEST_SUITE_P(Names, InternalName, testing::ValuesIn(internal_names),
                         [](const auto& value) {
                           std::string name = value.param;
                           for (char& letter : name) letter = letter == '.' ? '_' : letter;
                           return name;
                         });

// Where the shown owner is a slot the true one is told (20-pool.sh). Here none is a slot.
TEST(Forging, NoOwnerIsToldThatIsShownAsItIs) {
  OverlayMount m({.with_upper = false});
  write_file(m.lower() + "/slot", "text");
  set_xattr(m.lower() + "/slot", "user.usernetes.uid", "60000");
  set_xattr(m.lower() + "/slot", "user.note", "seen");
  own(m.lower() + "/slot", 1633, 7);
  m.mount();
  EXPECT_EQ(list_xattr(m.at("slot")), "user.note");
  EXPECT_EQ(get_xattr(m.at("slot"), "user.usernetes.uid"), "<ENODATA>");
  EXPECT_EQ(set_xattr(m.at("slot"), "user.usernetes.uid", "0"), "EPERM");
  EXPECT_EQ(owner_of(m.at("slot")), "60000:7");
}

TEST(Forging, NeighboursOfInternalNamesAreOrdinary) {
  OverlayMount m;
  write_file(m.lower() + "/f", "x");
  m.mount();
  for (const std::string name : {"user.usernetesuid", "user.overlayed", "user.containers.other",
                                 "user.rootless", "trusted.overlays", "user.fuseoverlay.x"}) {
    EXPECT_EQ(set_xattr(m.at("f"), name, "v"), "ok") << name;
    EXPECT_EQ(get_xattr(m.at("f"), name), "v") << name;
    EXPECT_EQ(remove_xattr(m.at("f"), name), "ok") << name;
  }
}

TEST(Forging, WhiteoutNamesAreRefused) {
  OverlayMount m;
  write_file(m.lower() + "/f", "low");
  make_dir(m.lower() + "/d");
  write_file(m.lower() + "/d/in", "low");
  m.mount();
  for (const std::string name :
       {".wh.f", ".wh.", ".wh..wh..opq", ".wh.none", "d/.wh.in", "d/.wh..wh..opq"}) {
    const std::string path = m.at(name);
    EXPECT_EQ(write_file(path, ""), "EINVAL") << name;
    EXPECT_EQ(make_dir(path), "EINVAL") << name;
    EXPECT_EQ(make_link("x", path), "EINVAL") << name;
    EXPECT_EQ(outcome(mknod(path.c_str(), S_IFIFO | 0600, 0)), "EINVAL") << name;
    EXPECT_EQ(outcome(rename(m.at("f").c_str(), path.c_str())), "EINVAL") << name;
    EXPECT_EQ(outcome(link(m.at("f").c_str(), path.c_str())), "EINVAL") << name;
    EXPECT_EQ(kind_of(path), "<ENOENT>") << name;
    EXPECT_EQ(read_file(path), "<ENOENT>") << name;
    EXPECT_EQ(outcome(unlink(path.c_str())), "ENOENT") << name;
    EXPECT_EQ(outcome(rmdir(path.c_str())), "ENOENT") << name;
  }
  EXPECT_EQ(names_in(m.merged()) + " " + names_in(m.at("d")), "d f in");
}

TEST(Forging, UnnamedFileCannotBeLinkedToAWhiteoutName) {
  OverlayMount m;
  write_file(m.lower() + "/f", "low");
  m.mount();
  const base::Fd fd = open_at(m.merged(), O_TMPFILE | O_RDWR, 0600);
  ASSERT_EQ(outcome(fd), "ok");
  const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
  EXPECT_EQ(
      outcome(linkat(AT_FDCWD, self.c_str(), AT_FDCWD, m.at(".wh.f").c_str(), AT_SYMLINK_FOLLOW)),
      "EINVAL");
  EXPECT_EQ(read_file(m.at("f")), "low");
}

/// The attack on which this rule rests: a user makes an own file set-user-id root by an xattr.
TEST(Forging, NobodyBecomesRootByAnOverride) {
  OverlayMount m;
  make_dir(m.lower() + "/tmp");
  chmod((m.lower() + "/tmp").c_str(), 01777);
  m.set_options("xattr_permissions=2");
  m.mount();
  const std::string program = m.at("tmp/who");
  const std::string told = run_as(1500, 1500, {}, [&] {
    run({"cp", "/usr/bin/id", program});
    for (const char* name : internal_names) {
      for (const char* value : {"0:0:4755", "0:0:104755", "0"}) set_xattr(program, name, value);
    }
    return run({program}).out;
  });
  EXPECT_NE(told.find("uid=1500"), std::string::npos) << told;
  EXPECT_EQ(told.find("euid=0"), std::string::npos) << told;
  EXPECT_EQ(owner_of(program), "1500:1500");
  m.remount();
  EXPECT_EQ(owner_of(program) + " " + mode_of(program), "1500:1500 0755");
}

TEST(Forging, OwnerIsChangedByNobodyButRoot) {
  const auto prepare = [](const std::string& dir) {
    chmod(dir.c_str(), 0777);
    write_file(dir + "/f", "x");
    own(dir + "/f", 1000, 1000);
  };
  const auto story = [](const std::string& dir) {
    std::string text;
    for (const uid_t uid : {1000U, 1001U}) {
      for (const auto& [to, group] :
           {std::pair{0U, 0U}, {1001U, 1000U}, {1000U, 50U}, {1000U, 7U}}) {
        const auto act = [&, u = to, g = group] { return own(dir + "/f", u, g); };
        text += run_as(uid, uid, {50}, act) + " " + owner_of(dir + "/f") + "\n";
      }
    }
    return text;
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

/// An xattr operation on a symlink must stay with the symlink: following it would lead the
/// daemon into its own mount, where it waits for itself.
TEST(Forging, XattrsOfASymlinkDoNotFollowIt) {
  const auto prepare = [](const std::string& dir) {
    write_file(dir + "/target", "x");
    make_link(dir + "/target", dir + "/absolute");
    make_link("target", dir + "/relative");
    make_link("loop", dir + "/loop");
  };
  const auto story = [](const std::string& dir) {
    std::string text;
    for (const std::string name : {"/absolute", "/relative", "/loop"}) {
      text += set_xattr(dir + name, "user.note", "u") + "\n";
      text += set_xattr(dir + name, "trusted.note", "t") + "\n";
      text += get_xattr(dir + name, "trusted.note") + "\n";
      text += list_xattr(dir + name) + "\n";
      text += remove_xattr(dir + name, "trusted.note") + "\n";
      text += own(dir + name, 60000, 60000) + "\n";
      text += owner_of(dir + name) + "\n";
      text += mode_of(dir + name) + "\n";
    }
    return text + list_xattr(dir + "/target") + owner_of(dir + "/target");
  };
  EXPECT_EQ(differs_from_disk(prepare, story), "");
}

TEST(Forging, SymlinkIntoTheOwnMountDoesNotHang) {
  OverlayMount m;
  m.mount();
  write_file(m.at("target"), "x");
  make_link(m.at("target"), m.at("s"));
  EXPECT_EQ(run({"setfattr", "-h", "-n", "trusted.note", "-v", "1", m.at("s")}).status, 0);
  EXPECT_EQ(run({"setfattr", "-h", "-n", "user.note", "-v", "1", m.at("s")}).status, 1);
  EXPECT_EQ(run({"chown", "-h", "60000:60000", m.at("s")}).status, 0);
  EXPECT_EQ(run({"touch", "-h", m.at("s")}).status, 0);
  EXPECT_EQ(owner_of(m.at("s")) + " " + owner_of(m.at("target")), "60000:60000 0:0");
  EXPECT_EQ(list_xattr(m.at("target")), "");
}

}  // namespace
}  // namespace kernel_test
