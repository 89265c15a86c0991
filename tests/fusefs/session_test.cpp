// The protocol over a socket pair: what a kernel sends, and what none should.
#include "fusefs/session.hpp"

#include <gtest/gtest.h>

#include <set>

#include "tests/fusefs/rig.hpp"

namespace fusefs_test {
namespace {

using fusefs::kOps;

class SessionTest : public testing::Test {
 protected:
  SessionTest() {
    write_file(layers.lower() + "/low", "text of the lower");
    write_file(layers.lower() + "/big", std::string(3'000'000, 'b'));
    ::mkdir((layers.lower() + "/dir").c_str(), 0755);
    for (const char* name : {"/dir/a", "/dir/b", "/dir/c"}) write_file(layers.lower() + name, "x");
    write_file(layers.upper() + "/up", "text of the upper");
  }
  void start(fusefs::OverlayOptions options = {}, bool init = true, bool writable = true) {
    connection.reset();
    reactor = std::move(*ring::Reactor::make());
    connection =
        std::make_unique<Connection>(*reactor, overlay(layers, *reactor, options, writable));
    if (init) connection->init();
  }
  /// A kernel that asks for each open.
  void start_asked() {
    start({}, false);
    connection->init(45, ~static_cast<std::uint64_t>(FUSE_NO_OPEN_SUPPORT));
  }
  Reply call(std::uint32_t op, NodeId node, const Body& body = {}) {
    return connection->call(op, node, body);
  }
  std::uint64_t open(NodeId node, std::uint32_t flags) {
    return call(FUSE_OPEN, node, Body().put(fuse_open_in{flags, 0})).as<fuse_open_out>().fh;
  }
  Reply read(NodeId node, std::uint64_t handle, std::uint64_t offset, std::uint32_t size,
             std::uint32_t op = FUSE_READ) {
    fuse_read_in in{};
    in.fh = handle;
    in.offset = offset;
    in.size = size;
    return call(op, node, Body().put(in));
  }
  Reply chmod(NodeId node, std::uint32_t mode) {
    return call(FUSE_SETATTR, node, Body().put(set_mode(mode)));
  }
  static fuse_setattr_in set_mode(std::uint32_t mode) {
    fuse_setattr_in in{};
    in.valid = FATTR_MODE;
    in.mode = mode;
    return in;
  }
  Layers layers;
  std::unique_ptr<ring::Reactor> reactor;
  std::unique_ptr<Connection> connection;
};

TEST_F(SessionTest, InitAgreesOnWhatBothKnow) {
  start({}, false);
  auto reply = connection->init(45, FUSE_ASYNC_READ | FUSE_POSIX_ACL | 1ull << 63);
  ASSERT_EQ(reply.error, 0);
  ASSERT_EQ(reply.body.size(), 64u);
  auto out = reply.as<fusefs::wire::InitOut>();
  EXPECT_EQ(out.major, 7u);
  EXPECT_EQ(out.minor, 45u);
  EXPECT_EQ(out.flags & ~(FUSE_ASYNC_READ | FUSE_POSIX_ACL), 0u);
  EXPECT_TRUE(out.flags & FUSE_ASYNC_READ);
  EXPECT_EQ(out.flags2, 0u);
  EXPECT_EQ(out.max_write % 4096, 0u);
  EXPECT_EQ(out.max_pages * 4096u, out.max_write);
  EXPECT_EQ(connection->ready, 1);
}

TEST_F(SessionTest, OldMinorsAreAnsweredInTheirOwn) {
  for (std::uint32_t minor : {31u, 38u, 45u, 99u}) {
    start({}, false);
    auto out = connection->init(minor, 0).as<fusefs::wire::InitOut>();
    EXPECT_EQ(out.minor, std::min(minor, 45u));
    EXPECT_EQ(out.flags, 0u);
    EXPECT_EQ(call(FUSE_GETATTR, 1, Body().put(fuse_getattr_in{})).error, 0);
  }
}

TEST_F(SessionTest, TooOldOrTooNewIsRefused) {
  for (auto [major, minor] : {std::pair{7u, 30u}, {6u, 45u}, {8u, 0u}, {0u, 0u}}) {
    start({}, false);
    fuse_init_in in{};
    in.major = major;
    in.minor = minor;
    EXPECT_EQ(call(FUSE_INIT, 0, Body().put(in)).error, EPROTO);
    EXPECT_EQ(connection->ready, 0);
    EXPECT_EQ(connection->ended, EPROTO);
  }
}

TEST_F(SessionTest, InitOfKernelsBeforeFlags2) {
  start({}, false);
  struct {
    std::uint32_t major = 7, minor = 31, readahead = 4096, flags = ~0u;
  } old;
  auto reply = call(FUSE_INIT, 0, Body().put(old));
  EXPECT_EQ(reply.error, 0);
  EXPECT_EQ(reply.as<fusefs::wire::InitOut>().flags2, 0u);
}

TEST_F(SessionTest, InitComesFirstAndOnce) {
  start({}, false);
  EXPECT_EQ(call(FUSE_LOOKUP, 1, Body().name("low")).error, EIO);
  connection->init();
  EXPECT_EQ(connection->init().error, EIO);
  EXPECT_EQ(connection->ready, 1);
  EXPECT_NE(connection->lookup(1, "low"), 0u);
}

TEST_F(SessionTest, EveryOperationWithTooShortABody) {
  start();
  for (std::uint32_t op = 0; op < kOps.size(); ++op) {
    if (op == FUSE_INIT || op == FUSE_INTERRUPT) continue;
    for (std::size_t size = 0; size < kOps[op].min_body; ++size) {
      auto reply = call(op, 1, Body().raw(std::string(size, 'x')));
      EXPECT_EQ(reply.error, kOps[op].answers ? EINVAL : -1) << kOps[op].name << " " << size;
    }
  }
  EXPECT_NE(connection->lookup(1, "low"), 0u);
}

TEST_F(SessionTest, EveryPrefixOfAMessage) {
  start();
  fuse_setxattr_in head{};
  head.size = 5;
  fuse_write_in data{};
  data.size = 9;
  const std::pair<std::uint32_t, Body> whole[] = {
      {FUSE_SETXATTR, Body().put(head).name("user.x").raw("value")},
      {FUSE_CREATE, Body().put(fuse_create_in{}).name("new")},
      {FUSE_RENAME2, Body().put(fuse_rename2_in{1, 0, 0}).name("low").name("new")},
      {FUSE_SYMLINK, Body().name("link").name("target")},
      {FUSE_WRITE, Body().put(data).raw("nine char")},
      {FUSE_BATCH_FORGET, Body().put(fuse_batch_forget_in{2, 0}).put(fuse_forget_one{9, 1})}};
  std::uint64_t unique = 1'000'000;
  for (const auto& [op, body] : whole) {
    fuse_in_header header{};
    header.opcode = op;
    header.nodeid = 1;
    std::string message = Connection::message(header, body.bytes());
    for (std::size_t size = 0; size < message.size(); ++size) {
      for (bool honest : {true, false}) {
        header.unique = ++unique;
        std::string cut = Connection::message(header, body.bytes()).substr(0, size);
        if (honest && size >= 4) {
          auto told = static_cast<std::uint32_t>(size);
          std::memcpy(cut.data(), &told, 4);
        }
        connection->deliver(cut);
        connection->settle();
        // Half a header has no number to answer to; half a forget is no question.
        bool answered = size >= sizeof header && (op != FUSE_BATCH_FORGET || !honest);
        EXPECT_EQ(connection->reply(unique).error, answered ? EINVAL : -1)
            << kOps[op].name << " " << size << " " << honest;
      }
    }
  }
  EXPECT_EQ(connection->lookup(1, "new"), 0u);
  EXPECT_EQ(connection->lookup(1, "link"), 0u);
  EXPECT_GT(connection->session().stats().rejected, 100u);
}

TEST_F(SessionTest, UnknownOperations) {
  start();
  for (std::uint32_t op : {0u, 7u, 19u, 53u, 64u, 4096u, 0xffffffffu})
    EXPECT_EQ(call(op, 1, Body().raw(std::string(100, 'x'))).error, ENOSYS) << op;
  for (std::uint32_t op : {FUSE_FLUSH, FUSE_ACCESS, FUSE_BMAP, FUSE_GETLK, FUSE_POLL})
    EXPECT_EQ(call(op, 1, Body().raw(std::string(100, 'x'))).error, ENOSYS) << op;
}

TEST_F(SessionTest, NodesThatWereNeverGiven) {
  start();
  for (NodeId node : {NodeId{0}, NodeId{2}, NodeId{1} << 32, ~NodeId{0}})
    for (std::uint32_t op = 1; op < kOps.size(); ++op) {
      if (kOps[op].name.empty() || !kOps[op].wants_node) continue;
      auto reply = call(op, node, Body().raw(std::string(128, 'x')));
      EXPECT_EQ(reply.error, kOps[op].answers ? EINVAL : -1) << kOps[op].name << " " << node;
    }
  EXPECT_EQ(call(FUSE_RENAME, 1, Body().put(fuse_rename_in{99}).name("low").name("x")).error,
            EINVAL);
  EXPECT_EQ(call(FUSE_LINK, 1, Body().put(fuse_link_in{99}).name("x")).error, EINVAL);
}

TEST_F(SessionTest, HandlesOfOthers) {
  start_asked();
  NodeId low = connection->lookup(1, "low"), up = connection->lookup(1, "up");
  NodeId dir = connection->lookup(1, "dir");
  std::uint64_t mine = open(up, O_RDWR), reads = open(low, O_RDONLY);
  EXPECT_EQ(call(FUSE_OPENDIR, dir, Body().put(fuse_open_in{})).error, ENOSYS);
  for (std::uint64_t wrong : {reads, std::uint64_t{77}, ~std::uint64_t{0}}) {
    fuse_write_in write{};
    write.fh = wrong;
    write.size = 1;
    fuse_fallocate_in allocate{};
    allocate.fh = wrong;
    allocate.length = 1;
    EXPECT_EQ(read(up, wrong, 0, 10).error, EBADF) << wrong;
    EXPECT_EQ(call(FUSE_WRITE, up, Body().put(write).raw("x")).error, EBADF) << wrong;
    EXPECT_EQ(call(FUSE_FALLOCATE, up, Body().put(allocate)).error, EBADF) << wrong;
    EXPECT_EQ(call(FUSE_FSYNC, up, Body().put(fuse_fsync_in{wrong, 0, 0})).error, EBADF) << wrong;
    EXPECT_EQ(call(FUSE_LSEEK, up, Body().put(fuse_lseek_in{wrong, 0, SEEK_DATA, 0})).error, EBADF);
    EXPECT_EQ(call(FUSE_RELEASE, up, Body().put(fuse_release_in{wrong, 0, 0, 0})).error, EBADF);
    fuse_copy_file_range_in copy{};
    copy.fh_in = mine;
    copy.nodeid_out = up;
    copy.fh_out = wrong;
    copy.len = 10;
    EXPECT_EQ(call(FUSE_COPY_FILE_RANGE, up, Body().put(copy)).error, EBADF) << wrong;
  }
  EXPECT_EQ(read(up, mine, 0, 4096, FUSE_READDIR).error, ENOTDIR);
  EXPECT_EQ(read(up, mine, 0, 4).body, "text");
}

TEST_F(SessionTest, OpensThatNobodyAsksFor) {
  start();
  NodeId up = connection->lookup(1, "up"), low = connection->lookup(1, "low");
  EXPECT_EQ(call(FUSE_OPEN, up, Body().put(fuse_open_in{O_RDWR, 0})).error, ENOSYS);
  EXPECT_EQ(read(low, 0, 5, 6).body, "of the");
  fuse_write_in in{};
  in.size = 4;
  for (NodeId node : {up, low}) {
    EXPECT_EQ(read(node, 0, 0, 4).body, "text");
    EXPECT_EQ(call(FUSE_WRITE, node, Body().put(in).raw("good")).as<fuse_write_out>().size, 4u);
    EXPECT_EQ(read(node, 0, 0, 7).body, "good of");
  }
  auto made = call(FUSE_CREATE, 1, Body().put(fuse_create_in{O_RDWR, 0644, 0, 0}).name("new"));
  ASSERT_EQ(made.body.size(), sizeof(fuse_entry_out) + sizeof(fuse_open_out));
  fuse_open_out opened;
  std::memcpy(&opened, made.body.data() + sizeof(fuse_entry_out), sizeof opened);
  EXPECT_EQ(opened.fh, 0u);
  EXPECT_EQ(
      call(FUSE_RELEASE, made.as<fuse_entry_out>().nodeid, Body().put(fuse_release_in{})).error, 0);
  for (std::uint64_t wrong : {1ull, ~0ull}) EXPECT_EQ(read(up, wrong, 0, 4).error, EBADF);
  EXPECT_EQ(read(connection->lookup(1, "dir"), 0, 0, 4).error, EINVAL);
}

/// Without an upper layer each open for writing must be told that it cannot be.
TEST_F(SessionTest, OpensOfAReadOnlyMountAreAskedFor) {
  start({}, true, false);
  NodeId low = connection->lookup(1, "low");
  EXPECT_EQ(call(FUSE_OPEN, low, Body().put(fuse_open_in{O_RDWR, 0})).error, EROFS);
  const std::uint64_t handle = open(low, O_RDONLY);
  EXPECT_NE(handle, 0u);
  EXPECT_EQ(read(low, handle, 0, 4).body, "text");
}

TEST_F(SessionTest, WriteThroughAHandleThatReads) {
  start_asked();
  NodeId up = connection->lookup(1, "up");
  fuse_write_in in{};
  in.fh = open(up, O_RDONLY);
  in.size = 4;
  EXPECT_EQ(call(FUSE_WRITE, up, Body().put(in).raw("evil")).error, EBADF);
  in.fh = open(up, O_RDWR);
  EXPECT_EQ(call(FUSE_WRITE, up, Body().put(in).raw("evi")).error, EINVAL) << "less than it says";
  EXPECT_EQ(call(FUSE_WRITE, up, Body().put(in).raw("good")).as<fuse_write_out>().size, 4u);
}

TEST_F(SessionTest, OffsetsAndSizesBeyondEverything) {
  start();
  NodeId up = connection->lookup(1, "up"), dir = connection->lookup(1, "dir");
  std::uint64_t handle = open(up, O_RDWR);
  EXPECT_EQ(read(up, handle, 0, ~0u).body, "text of the upper");
  EXPECT_EQ(read(up, handle, 1ull << 40, 10).body, "");
  EXPECT_EQ(read(up, handle, 1ull << 63, 10).error, EINVAL);
  const std::uint64_t list = 0;
  for (std::uint64_t offset : {0x7fffffffull, 1ull << 40, 1ull << 63, ~0ull}) {
    EXPECT_EQ(read(dir, list, offset, 4096, FUSE_READDIR).body, "") << offset;
    EXPECT_EQ(read(dir, list, offset, 4096, FUSE_READDIRPLUS).body, "") << offset;
  }
  EXPECT_EQ(read(dir, list, 0, 0, FUSE_READDIR).body, "");
  EXPECT_EQ(read(dir, list, 0, 31, FUSE_READDIR).body.size(), 0u);
  EXPECT_EQ(read(dir, list, 0, 32, FUSE_READDIR).body.size(), 32u);
  fuse_setattr_in size{};
  size.valid = FATTR_SIZE;
  size.size = ~0ull;
  EXPECT_EQ(call(FUSE_SETATTR, up, Body().put(size)).error, EINVAL);
  fuse_ioctl_in command{};
  command.cmd = 0x80086601;  // FS_IOC_GETFLAGS
  command.out_size = 3;
  EXPECT_EQ(call(FUSE_IOCTL, up, Body().put(command)).error, EINVAL);
  command.cmd = 0x40086602;  // FS_IOC_SETFLAGS
  EXPECT_EQ(call(FUSE_IOCTL, up, Body().put(command).raw("abc")).error, EINVAL);
  command.cmd = 0x12345678;
  EXPECT_EQ(call(FUSE_IOCTL, up, Body().put(command)).error, ENOTTY);
}

TEST_F(SessionTest, ReaddirGoesOnWhereItStopped) {
  start();
  NodeId dir = connection->lookup(1, "dir");
  const std::uint64_t list = 0;
  std::string names;
  for (std::uint64_t offset = 0, calls = 0; calls < 10; ++calls) {
    auto body = read(dir, list, offset, 40, FUSE_READDIR).body;
    if (body.empty()) break;
    fuse_dirent entry{};
    std::memcpy(&entry, body.data(), FUSE_NAME_OFFSET);
    names += body.substr(FUSE_NAME_OFFSET, entry.namelen) + " ";
    offset = entry.off;
    if (calls == 2) call(FUSE_UNLINK, dir, Body().name("c"));
    if (calls == 2) call(FUSE_CREATE, dir, Body().put(fuse_create_in{}).name("a0"));
  }
  EXPECT_EQ(std::count(names.begin(), names.end(), ' '), 5) << names;
  EXPECT_EQ(names.substr(0, 5), ". .. ") << names;
  for (const char* name : {"a ", "b "}) EXPECT_NE(names.find(name), names.npos) << names;
}

/// A listing with attributes tells those which the kernel does not have, or has thrown away.
TEST_F(SessionTest, ReaddirplusTellsWhatIsNotKnown) {
  const auto told = [this](NodeId dir) {
    const std::string body = read(dir, 0, 0, 4096, FUSE_READDIRPLUS).body;
    std::set<std::string> names;
    for (std::size_t at = 0; at + FUSE_NAME_OFFSET_DIRENTPLUS <= body.size();) {
      fuse_direntplus entry{};
      std::memcpy(&entry, body.data() + at, FUSE_NAME_OFFSET_DIRENTPLUS);
      EXPECT_NE(entry.dirent.ino, 0u);
      if (entry.entry_out.nodeid)
        names.insert(body.substr(at + FUSE_NAME_OFFSET_DIRENTPLUS, entry.dirent.namelen));
      at += FUSE_DIRENTPLUS_SIZE(&entry);
    }
    std::string text;
    for (const std::string& name : names) text += name + " ";
    return text;
  };
  fusefs::OverlayOptions options;
  for (double timeout : {1e9, 1.0}) {
    options.timeout = timeout;
    start(options);
    const NodeId dir = connection->lookup(1, "dir"), a = connection->lookup(dir, "a");
    EXPECT_EQ(told(dir), timeout > 1 ? "b c " : "a b c ");
    EXPECT_EQ(told(dir), timeout > 1 ? "" : "a b c ") << "the first listing has told of them";
    EXPECT_EQ(read(a, 0, 0, 1).body, "x");
    EXPECT_EQ(told(dir), timeout > 1 ? "a " : "a b c ");
    EXPECT_EQ(chmod(a, 0600).error, 0);
    EXPECT_EQ(told(dir), timeout > 1 ? "" : "a b c ") << "the answer to chmod has told";
    call(FUSE_FORGET, a, Body().put(fuse_forget_in{100}));
    EXPECT_EQ(told(dir), timeout > 1 ? "a " : "a b c ");
  }
}

TEST_F(SessionTest, BatchForgetThatLiesAboutItsCount) {
  start();
  NodeId low = connection->lookup(1, "low"), up = connection->lookup(1, "up");
  for (std::uint32_t count : {0u, 1u, 0xffffffffu}) {
    Body body;
    body.put(fuse_batch_forget_in{count, 0});
    if (count) body.put(fuse_forget_one{low, 1});
    body.put(fuse_forget_one{up, 0}).raw("half");
    EXPECT_EQ(call(FUSE_BATCH_FORGET, 0, body).error, -1) << "a forget is not answered";
    EXPECT_EQ(connection->fs().nodes().find(low) == nullptr, count != 0) << count;
    EXPECT_NE(connection->fs().nodes().find(up), nullptr);
  }
  Body wrong;
  wrong.put(fuse_batch_forget_in{3, 0});
  for (NodeId node : {NodeId{0}, NodeId{1}, ~NodeId{0}}) wrong.put(fuse_forget_one{node, ~0ull});
  call(FUSE_BATCH_FORGET, 0, wrong);
  EXPECT_EQ(connection->fs().nodes().find(1), connection->root());
}

TEST_F(SessionTest, SetxattrAsKernelsBefore512SendIt) {
  for (bool extended : {true, false}) {
    start({}, false);
    connection->init(31, extended ? FUSE_SETXATTR_EXT : 0);
    NodeId up = connection->lookup(1, "up");
    Body body;
    body.put(std::uint32_t{5}).put(std::uint32_t{0});
    if (extended) body.put(std::uint64_t{0});
    body.name("user.x").raw("value");
    EXPECT_EQ(call(FUSE_SETXATTR, up, body).error, 0) << extended;
    auto got = call(FUSE_GETXATTR, up, Body().put(fuse_getxattr_in{100, 0}).name("user.x"));
    EXPECT_EQ(got.body, "value") << extended;
    call(FUSE_REMOVEXATTR, up, Body().name("user.x"));
  }
}

TEST_F(SessionTest, RequestsThatWaitAreTold) {
  fusefs::OverlayOptions options;
  options.io = ring::Io::ring_only;
  start(options);
  NodeId big = connection->lookup(1, "big");
  auto waits = connection->send(FUSE_SETATTR, big, Body().put(set_mode(0600)));
  EXPECT_EQ(connection->session().in_flight(), 1u);
  auto told = connection->session().waiting();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].unique, waits);
  EXPECT_EQ(told[0].op, "setattr");
  EXPECT_EQ(told[0].path, "/big");
  EXPECT_EQ(told[0].waits, "copy-up");
  EXPECT_GE(told[0].seconds, 0);
  EXPECT_LT(told[0].seconds, 60);
  EXPECT_NE(connection->lookup(1, "low"), 0u) << "others are served meanwhile";
  connection->settle();
  EXPECT_EQ(connection->reply(waits).error, 0);
  EXPECT_EQ(connection->session().in_flight(), 0u);
}

/// Who merely got a signal, as every Go program does all the time, is not refused its chmod.
TEST_F(SessionTest, InterruptOfALivingProcessChangesNothing) {
  fusefs::OverlayOptions options;
  options.io = ring::Io::ring_only;
  start(options);
  NodeId big = connection->lookup(1, "big");
  std::vector<std::uint64_t> sent;
  for (int i = 0; i < 3; ++i)
    sent.push_back(connection->send(FUSE_SETATTR, big, Body().put(set_mode(0600))));
  for (std::uint64_t unique : sent)
    connection->send(FUSE_INTERRUPT, 0, Body().put(fuse_interrupt_in{unique}));
  connection->send(FUSE_INTERRUPT, 0, Body().put(fuse_interrupt_in{12345}));
  connection->settle();
  for (std::uint64_t unique : sent) EXPECT_EQ(connection->reply(unique).error, 0);
}

TEST_F(SessionTest, TwoRequestsOfOneNumber) {
  fusefs::OverlayOptions options;
  options.io = ring::Io::ring_only;
  start(options);
  fuse_in_header header{};
  header.opcode = FUSE_SETATTR;
  header.nodeid = connection->lookup(1, "big");
  header.unique = 4711;
  for (int i = 0; i < 2; ++i)
    connection->deliver(Connection::message(header, Body().put(set_mode(0600)).bytes()));
  EXPECT_EQ(connection->session().in_flight(), 2u);
  connection->settle();
  EXPECT_EQ(connection->replies[4711].size(), 2u);
}

TEST_F(SessionTest, InternalXattrsInEverySpelling) {
  start();
  NodeId up = connection->lookup(1, "up");
  for (std::string name : {"user.usernetes.uid", "user.usernetes.", "user.overlay.opaque",
                           "user.overlay.overlay.opaque", "trusted.overlay.redirect",
                           "user.fuseoverlayfs.x", "user.containers.override_stat",
                           "security.fuseoverlayfs.override_stat", "user.rootlesscontainers"}) {
    fuse_setxattr_in in{};
    in.size = 1;
    EXPECT_EQ(call(FUSE_SETXATTR, up, Body().put(in).name(name).raw("0")).error, EPERM) << name;
    EXPECT_EQ(call(FUSE_REMOVEXATTR, up, Body().name(name)).error, EPERM) << name;
    Body get;
    get.put(fuse_getxattr_in{100, 0}).name(name);
    EXPECT_EQ(call(FUSE_GETXATTR, up, get).error, ENODATA) << name;
  }
  // A name ends at its NUL: what is behind it is the value.
  fuse_setxattr_in in{};
  in.size = 4;
  using namespace std::string_view_literals;
  Body split = Body().put(in).raw("user.usernetes.uid\0\0tail"sv);
  EXPECT_EQ(call(FUSE_SETXATTR, up, split).error, EPERM);
  for (const std::string& name :
       std::vector<std::string>{"", "user.", "USER.usernetes.uid", std::string(300, 'x')})
    EXPECT_NE(call(FUSE_SETXATTR, up, Body().put(in).name(name).raw("text")).error, 0) << name;
  EXPECT_EQ(chmod(up, 0640).error, 0);
}

/// VFS checks nothing for system.*; the layer's file system would take it from the daemon.
TEST(UnguardedXattr, OnlyPosixAclsPass) {
  for (const char* name : {"system.nfs4_acl", "system.cifs_acl", "system.ntfs_attrib", "system.",
                           "system.posix_acl_accessx", "system.posix_acl_"})
    EXPECT_TRUE(fusefs::is_unguarded_xattr(name, true)) << name;
  for (const char* name : {"system.posix_acl_access", "system.posix_acl_default"}) {
    EXPECT_FALSE(fusefs::is_unguarded_xattr(name, true)) << name;
    EXPECT_TRUE(fusefs::is_unguarded_xattr(name, false)) << name;
  }
  for (const char* name : {"user.system.x", "security.capability", "trusted.x", "systemx"})
    EXPECT_FALSE(fusefs::is_unguarded_xattr(name, true)) << name;
}

}  // namespace
}  // namespace fusefs_test
