// What an attacker brings: layers planted by an image, descriptors used up, trees too deep, lists
// too long. Each of these was a hole once.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <set>
#include <string>

#include "tests/fusefs/rig.hpp"

namespace fusefs_test {
namespace {

void set(const std::string& path, const char* key, std::string_view value) {
  ASSERT_EQ(::lsetxattr(path.c_str(), key, value.data(), value.size(), 0), 0) << path << " " << key;
}
std::string text_of(const std::string& path) {
  base::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return "<none>";
  char text[64];
  ssize_t n = ::read(fd.get(), text, sizeof text);
  return std::string(text, n > 0 ? static_cast<std::size_t>(n) : 0);
}
bool exists(const std::string& path) {
  struct stat st;
  return ::lstat(path.c_str(), &st) == 0;
}

class Hostile : public testing::Test {
 protected:
  void open(const Layers& layers, fusefs::OverlayOptions options = {}) {
    connection.reset();
    if (!reactor) reactor = std::move(*ring::Reactor::make());
    auto fs = overlay(layers, *reactor, options);
    ASSERT_TRUE(fs);
    connection = std::make_unique<Connection>(*reactor, std::move(fs));
    connection->init();
  }
  std::string names(NodeId dir) {
    auto& fs = connection->fs();
    auto listing = fs.list(fs.nodes().find(dir));
    if (!listing) return "<" + std::to_string(listing.error().value) + ">";
    std::string all;
    for (std::size_t i = 0; i < (*listing)->size(); ++i)
      all += std::string((*listing)->name((*listing)->item(i))) + " ";
    return all;
  }
  fuse_attr attributes(NodeId node) {
    return connection->call(FUSE_GETATTR, node, Body().put(fuse_getattr_in{}))
        .as<fuse_attr_out>()
        .attr;
  }
  std::unique_ptr<ring::Reactor> reactor;
  std::unique_ptr<Connection> connection;
};

/// Until it dies no further descriptor can be opened.
class NoMoreDescriptors {
 public:
  NoMoreDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    base::Fd next(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    rlimit none{static_cast<rlim_t>(next.get()), before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoMoreDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(Hostile, RedirectOfNoValidFormLeadsNowhere) {
  using namespace std::string_view_literals;
  const std::string_view forms[] = {"..",         ".",     "/..",     "/../outside", "/a/../..",
                                    "/a/../../b", "a/b",   "/.wh.x",  "/",           "/a/",
                                    "//a",        "/a//b", "/a\0b"sv, "/./a",        "../outside"};
  for (std::string_view form : forms) {
    Layers layers(2);
    ::mkdir((layers.lower(0) + "/d").c_str(), 0755);
    write_file(layers.lower(0) + "/d/own", "x");
    for (const char* name : {"/d", "/a", "/a/b", "/b"}) {
      ::mkdir((layers.lower(1) + name).c_str(), 0755);
      write_file(layers.lower(1) + name + "/foreign", "x");
    }
    write_file(layers.outside() + "/secret", "x");
    set(layers.lower(0) + "/d", "trusted.overlay.redirect", form);
    open(layers);
    NodeId d = connection->lookup(1, "d");
    ASSERT_NE(d, 0u) << form;
    EXPECT_EQ(names(d), "own ") << form;
    EXPECT_EQ(connection->lookup(d, "foreign"), 0u) << form;
    EXPECT_EQ(connection->fs().counters().corrupt_records, 1u) << form;
  }
}

TEST_F(Hostile, RedirectsInACircleEnd) {
  constexpr int kLayers = 60;
  Layers layers(kLayers);
  for (int i = 0; i < kLayers; ++i) {
    for (const char* name : {"/a", "/b"}) ::mkdir((layers.lower(i) + name).c_str(), 0755);
    set(layers.lower(i) + "/a", "trusted.overlay.redirect", "/b");
    set(layers.lower(i) + "/b", "trusted.overlay.redirect", "/a");
    write_file(layers.lower(i) + "/a/in-a" + std::to_string(i), "x");
    write_file(layers.lower(i) + "/b/in-b" + std::to_string(i), "x");
  }
  open(layers);
  NodeId a = connection->lookup(1, "a");
  EXPECT_NE(connection->lookup(a, "in-a0"), 0u);
  EXPECT_NE(connection->lookup(a, "in-b1"), 0u);
  EXPECT_EQ(connection->lookup(a, "in-b0"), 0u);
  EXPECT_LE(connection->fs().nodes().find(a)->dir->layers.size(), 60u);
}

/// Where the lower directory can not be opened, nobody knows whether it has the name.
TEST_F(Hostile, NoDescriptorLeftBringsNoLowerFileBack) {
  Layers layers;
  for (const auto& at : {layers.lower(), layers.upper()}) ::mkdir((at + "/d").c_str(), 0755);
  write_file(layers.lower() + "/d/f", "old");
  write_file(layers.upper() + "/d/f", "new");
  write_file(layers.upper() + "/d/g", "other");
  open(layers);
  NodeId d = connection->lookup(1, "d");
  ASSERT_NE(connection->lookup(d, "f"), 0u);
  NodeId g = connection->lookup(d, "g");
  connection->send(FUSE_FORGET, g, Body().put(fuse_forget_in{1}));
  Body body;
  body.put(fuse_rename_in{d}).name("f").name("g");
  Reply reply;
  {
    NoMoreDescriptors none;
    reply = connection->call(FUSE_RENAME, d, body);
  }
  EXPECT_EQ(reply.error, EMFILE);
  EXPECT_EQ(text_of(layers.upper() + "/d/f"), "new");
  EXPECT_EQ(text_of(layers.upper() + "/d/g"), "other");
  EXPECT_EQ(connection->call(FUSE_RENAME, d, body).error, 0);
  EXPECT_TRUE(exists(layers.upper() + "/d/f")) << "the whiteout";
  EXPECT_EQ(connection->lookup(d, "f"), 0u);
}

TEST_F(Hostile, NoDescriptorLeftShowsNoOtherOwner) {
  Layers layers;
  ::mknod((layers.lower() + "/fifo").c_str(), S_IFIFO | 0644, 0);
  ASSERT_EQ(::chown((layers.lower() + "/fifo").c_str(), 1633, 1633), 0);
  write_file(layers.lower() + "/.wh..wh.un.fifo", "0000060000:0000060000\n");
  open(layers);
  connection->lookup(1, "nothing");  // the whiteouts of the directory are known now
  Reply reply;
  {
    NoMoreDescriptors none;
    reply = connection->call(FUSE_LOOKUP, 1, Body().name("fifo"));
  }
  EXPECT_EQ(reply.error, EMFILE);
  NodeId fifo = connection->lookup(1, "fifo");
  EXPECT_EQ(connection->fs().nodes().find(fifo)->uid, 60000u);
}

/// One operation holds descriptors of two directories; the way to the second must not close the
/// first.
TEST_F(Hostile, RenameBetweenDeepDirectories) {
  constexpr int kDepth = 60;
  Layers layers;
  fusefs::OverlayOptions options;
  options.dirfd_cache = 16;
  std::string a = layers.upper() + "/a", b = layers.upper() + "/b";
  for (int i = 0; i < kDepth; ++i) {
    ::mkdir(a.c_str(), 0755);
    ::mkdir(b.c_str(), 0755);
    write_file(a + "/x", "wrong");
    write_file(b + "/x", "wrong");
    a += "/d";
    b += "/d";
  }
  a.resize(a.size() - 2);
  b.resize(b.size() - 2);
  write_file(a + "/x", "right");
  for (int i = 0; i < 20; ++i) ::mkdir((layers.upper() + "/o" + std::to_string(i)).c_str(), 0755);
  open(layers, options);
  NodeId from = connection->lookup(1, "a"), to = connection->lookup(1, "b");
  for (int i = 1; i < kDepth; ++i) {
    from = connection->lookup(from, "d");
    to = connection->lookup(to, "d");
  }
  ASSERT_NE(from, 0u);
  for (int i = 0; i < 20; ++i)  // neither way is in the cache any more
    connection->lookup(connection->lookup(1, "o" + std::to_string(i)), "x");
  Body body;
  body.put(fuse_rename_in{to}).name("x").name("y");
  EXPECT_EQ(connection->call(FUSE_RENAME, from, body).error, 0);
  EXPECT_EQ(text_of(b + "/y"), "right");
  EXPECT_FALSE(exists(a + "/x"));
  Body link;
  link.put(fuse_link_in{connection->lookup(to, "y")}).name("z");
  EXPECT_EQ(connection->call(FUSE_LINK, from, link).error, 0);
  EXPECT_EQ(text_of(a + "/z"), "right");
}

TEST_F(Hostile, ManyListingsLeftHalfReadShareTheirMemory) {
  Layers layers;
  constexpr int kDirs = 50, kFiles = 100;
  for (int d = 0; d < kDirs; ++d) {
    const std::string dir = layers.lower() + "/d" + std::to_string(d);
    ASSERT_EQ(::mkdir(dir.c_str(), 0755), 0);
    for (int i = 0; i < kFiles; ++i)
      write_file(dir + "/some-name-that-takes-room-" + std::to_string(i), "");
  }
  open(layers);
  auto& listings = connection->fs().listings();
  listings.limit(20'000);
  auto read = [&](NodeId dir, std::uint64_t offset) {
    fuse_read_in in{};
    in.offset = offset;
    in.size = 4096;
    return connection->call(FUSE_READDIR, dir, Body().put(in));
  };
  std::vector<NodeId> dirs;
  for (int d = 0; d < kDirs; ++d) {
    dirs.push_back(connection->lookup(1, "d" + std::to_string(d)));
    ASSERT_EQ(read(dirs.back(), 0).error, 0);
    EXPECT_LE(listings.bytes(), 20'000u);
  }
  EXPECT_GT(listings.bytes(), 0u);
  EXPECT_EQ(listings.find(dirs.front()), nullptr) << "the oldest went";
  // It goes on all the same, to the end, and then nothing is kept.
  for (NodeId dir : dirs) {
    std::set<std::string> seen;
    for (std::uint64_t offset = 0;;) {
      std::string body = read(dir, offset).body;
      if (body.empty()) break;
      for (std::size_t at = 0; at < body.size();) {
        fuse_dirent entry{};
        std::memcpy(&entry, body.data() + at, FUSE_NAME_OFFSET);
        EXPECT_TRUE(seen.insert(body.substr(at + FUSE_NAME_OFFSET, entry.namelen)).second);
        offset = entry.off;
        at += FUSE_DIRENT_SIZE(&entry);
      }
      if (dir % 2) listings.drop(dir);  // as if others had pushed it out
    }
    EXPECT_EQ(seen.size(), kFiles + 2u);
  }
  EXPECT_EQ(listings.bytes(), 0u);
}

/// An upper that fuse-overlayfs has written tells modes by an override.
TEST_F(Hostile, SetIdBitOfAnOverrideIsLost) {
  Layers layers;
  for (const char* name : {"/written", "/changed", "/owned"}) {
    write_file(layers.upper() + name, "text", 0644);
    set(layers.upper() + name, "user.fuseoverlayfs.override_stat", "1000:1000:104755");
  }
  open(layers);
  NodeId written = connection->lookup(1, "written"), changed = connection->lookup(1, "changed");
  NodeId owned = connection->lookup(1, "owned");
  ASSERT_EQ(attributes(written).mode, S_IFREG | 04755u);
  auto opened = connection->call(FUSE_OPEN, written, Body().put(fuse_open_in{O_RDWR, 0}));
  fuse_write_in in{};
  in.fh = opened.as<fuse_open_out>().fh;
  in.write_flags = FUSE_WRITE_KILL_SUIDGID;
  in.size = 1;
  EXPECT_EQ(connection->call(FUSE_WRITE, written, Body().put(in).raw("x"), 1001, 1001).error, 0);
  fuse_setattr_in set_mode{}, set_owner{};
  set_mode.valid = FATTR_MODE;
  set_mode.mode = 0640;
  EXPECT_EQ(connection->call(FUSE_SETATTR, changed, Body().put(set_mode)).error, 0);
  set_owner.valid = FATTR_UID;
  set_owner.uid = 0;
  EXPECT_EQ(connection->call(FUSE_SETATTR, owned, Body().put(set_owner)).error, 0);
  for (int round = 0; round < 2; ++round, open(layers)) {
    EXPECT_EQ(attributes(connection->lookup(1, "written")).mode, S_IFREG | 0755u) << round;
    EXPECT_EQ(attributes(connection->lookup(1, "changed")).mode, S_IFREG | 0640u) << round;
    EXPECT_EQ(attributes(connection->lookup(1, "owned")).mode, S_IFREG | 0755u) << round;
    EXPECT_EQ(attributes(connection->lookup(1, "owned")).uid, 0u) << round;
  }
}

/// Kernels before 6.0 leave it to the file system.
TEST_F(Hostile, NobodyElseMakesAProgramOfTheGroup) {
  Layers layers;
  ::mkdir((layers.upper() + "/d").c_str(), 0);
  ::chmod((layers.upper() + "/d").c_str(), 02777);
  open(layers);
  NodeId d = connection->lookup(1, "d");
  auto create = [&](std::uint32_t mode, std::uint32_t uid, const char* name) {
    Body body;
    body.put(fuse_create_in{O_RDWR | O_CREAT, S_IFREG | mode, 0, 0}).name(name);
    return connection->call(FUSE_CREATE, d, body, uid, uid).as<fuse_entry_out>().attr.mode & 07777;
  };
  EXPECT_EQ(create(02755, 1000, "stranger"), 0755u);
  EXPECT_EQ(create(02644, 1000, "lock"), 02644u);
  EXPECT_EQ(create(02755, 0, "root"), 02755u);
}

TEST_F(Hostile, OverriddenDeviceNeverBecomesAWhiteout) {
  Layers layers;
  write_file(layers.lower() + "/dev", "");
  set(layers.lower(), "user.containers.override_stat", "0:0:0755");
  set(layers.lower() + "/dev", "user.containers.override_stat", "0:0:0644:char-0-0");
  open(layers);
  NodeId dev = connection->lookup(1, "dev");
  ASSERT_EQ(attributes(dev).mode, S_IFCHR | 0644u);
  fuse_setattr_in in{};
  in.valid = FATTR_MODE;
  in.mode = 0600;
  EXPECT_EQ(connection->call(FUSE_SETATTR, dev, Body().put(in)).error, EPERM);
  EXPECT_FALSE(exists(layers.upper() + "/dev"));
}

TEST_F(Hostile, OpenOfAFifoOrDeviceIsRefused) {
  Layers layers;
  ::mknod((layers.lower() + "/fifo").c_str(), S_IFIFO | 0644, 0);
  ::mknod((layers.lower() + "/dev").c_str(), S_IFCHR | 0644, makedev(1, 3));
  open(layers);
  for (const char* name : {"fifo", "dev"}) {
    NodeId node = connection->lookup(1, name);
    Body body;
    body.put(fuse_open_in{O_RDONLY, 0});
    EXPECT_EQ(connection->call(FUSE_OPEN, node, body).error, EINVAL) << name;
    fuse_setattr_in in{};
    in.valid = FATTR_SIZE;
    in.size = 1;
    EXPECT_EQ(connection->call(FUSE_SETATTR, node, Body().put(in)).error, EINVAL) << name;
  }
}

/// The path does not fit into a redirect that can be read back: the directory is copied instead.
TEST_F(Hostile, RedirectOfAnEndlessPath) {
  Layers layers(1, "/dev/shm");  // where an xattr may be that long
  const std::string name(250, 'n');
  base::Fd at(::open(layers.lower().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), name.c_str(), 0755), 0);
    at = base::Fd(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ASSERT_EQ(::mkdirat(at.get(), "d", 0755), 0);
  ASSERT_EQ(::mkdirat(at.get(), "d/sub", 0755), 0);
  for (int round = 0; round < 2; ++round) {
    open(layers);
    NodeId dir = 1;
    for (int i = 0; i < 20; ++i) dir = connection->lookup(dir, name);
    if (round == 0) {
      ASSERT_NE(connection->lookup(dir, "d"), 0u);
      Body body;
      body.put(fuse_rename_in{dir}).name("d").name("e");
      ASSERT_EQ(connection->call(FUSE_RENAME, dir, body).error, 0);
    }
    NodeId moved = connection->lookup(dir, "e");
    EXPECT_NE(connection->lookup(moved, "sub"), 0u) << round;
    EXPECT_EQ(connection->lookup(dir, "d"), 0u) << round;
  }
}

TEST_F(Hostile, ManyWaitingRequestsHoldFewBuffers) {
  Layers layers;
  write_file(layers.lower() + "/big", std::string(300'000, 'b'));
  fusefs::OverlayOptions options;
  options.io = ring::Io::ring_only;
  open(layers, options);
  NodeId big = connection->lookup(1, "big");
  fuse_setattr_in in{};
  in.valid = FATTR_MODE;
  in.mode = 0600;
  std::vector<std::uint64_t> sent;
  for (int i = 0; i < 200; ++i) sent.push_back(connection->send(FUSE_SETATTR, big, Body().put(in)));
  EXPECT_EQ(connection->session().in_flight(), 200u);
  EXPECT_LE(connection->session().buffers().lent(), 8u);
  connection->settle();
  for (std::uint64_t unique : sent) EXPECT_EQ(connection->reply(unique).error, 0);
  EXPECT_EQ(connection->session().buffers().lent(), 0u);
}

/// A link waits for its copy-up; meanwhile somebody makes the name, or finds it.
TEST_F(Hostile, NameTakenWhileALinkWaits) {
  for (bool made : {true, false}) {
    Layers layers;
    write_file(layers.lower() + "/big", std::string(300'000, 'b'));
    write_file(layers.lower() + "/found", "x");
    fusefs::OverlayOptions options;
    options.io = ring::Io::ring_only;
    open(layers, options);
    NodeId big = connection->lookup(1, "big");
    const char* name = made ? "made" : "found";
    auto link = connection->send(FUSE_LINK, 1, Body().put(fuse_link_in{big}).name(name));
    ASSERT_EQ(connection->reply(link).error, -1) << "the link did not wait";
    Body create;
    create.put(fuse_create_in{O_RDWR | O_CREAT, S_IFREG | 0644, 0, 0}).name(name);
    auto other = made ? connection->send(FUSE_CREATE, 1, create)
                      : connection->send(FUSE_LOOKUP, 1, Body().name(name));
    NodeId there = connection->reply(other).as<fuse_entry_out>().nodeid;
    ASSERT_NE(there, 0u);
    connection->settle();
    EXPECT_EQ(connection->reply(link).error, EEXIST);
    EXPECT_EQ(connection->lookup(1, name), there);
  }
}

}  // namespace
}  // namespace fusefs_test
