// Fuzzes: sequences of FUSE requests, as a kernel that tells anything might send them, on a real
// overlay of small directories. Every request that wants an answer gets one, nothing outside of the
// upper layer changes, no descriptor is left. An input is: options, then for each request an
// operation, its flags, and the fields of its body as indices into small tables.
#include <signal.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>

#include <array>
#include <cstdio>

#include "tests/fusefs/rig.hpp"

namespace {

using fusefs_test::Body;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz_wire: %s\n", what);
  std::abort();
}

const std::string kLong(255, 'n'), kTooLong(256, 'n');
const std::array<std::string_view, 32> kNames = {
    "dir",    "file",     "big",          "link",       "fifo",
    "hard1",  "hard2",    "merged",       "opaque",     "gone",
    "sub",    "redirect", "new1",         "new2",       "new3",
    "",       ".",        "..",           "a/b",        kLong,
    kTooLong, ".wh.file", ".wh..wh..opq", "rel",        ".wh..wh.un.fifo",
    "loop",   "low2",     "secret",       "../outside", "new4",
    "\xff\n", "x"};
const std::array<std::string_view, 16> kXattrs = {"user.a",
                                                  "user.b",
                                                  "user.usernetes.uid",
                                                  "user.overlay.opaque",
                                                  "user.overlay.redirect",
                                                  "trusted.overlay.redirect",
                                                  "trusted.overlay.opaque",
                                                  "user.containers.override_stat",
                                                  "user.rootlesscontainers",
                                                  "security.capability",
                                                  "system.posix_acl_access",
                                                  "system.posix_acl_default",
                                                  "user.",
                                                  "",
                                                  "trusted.x",
                                                  "nonsense"};
constexpr std::array<std::uint64_t, 16> kNumbers = {
    0,          1,          2,          100, 4096,       4097,       65536,     300000,
    1ull << 20, 1ull << 24, 1ull << 31, ~0u, 1ull << 40, 1ull << 62, INT64_MAX, ~0ull};
constexpr std::array<std::uint32_t, 8> kIds = {0, 1, 1000, 1001, 1633, 2000, 60000, ~0u};

/// The input, read from its front; beyond its end all is zero.
class Input {
 public:
  Input(const unsigned char* data, std::size_t size) : at_(data), end_(data + size) {}
  bool empty() const { return at_ == end_; }
  std::uint8_t byte() { return empty() ? std::uint8_t{0} : *at_++; }
  std::uint64_t number() {
    std::uint8_t b = byte();
    return b < 128 ? kNumbers[b % kNumbers.size()] : b - 128;
  }
  std::uint32_t small() { return static_cast<std::uint32_t>(number()); }
  std::uint32_t id() { return kIds[byte() % kIds.size()]; }
  std::string_view name() { return kNames[byte() % kNames.size()]; }
  std::string_view xattr() { return kXattrs[byte() % kXattrs.size()]; }
  std::uint64_t node() {
    std::uint8_t b = byte();
    return b < 240 ? b % 24 : b == 240 ? ~0ull : b == 241 ? 1ull << 48 : b;
  }
  std::uint64_t handle() {
    std::uint8_t b = byte();
    return b < 240 ? b % 8 : ~0ull - (b - 240);
  }
  std::uint32_t word() {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | byte();
    return value;
  }
  std::string_view text(std::size_t most) {
    std::size_t n = std::min<std::size_t>(most, static_cast<std::size_t>(end_ - at_));
    std::string_view found(reinterpret_cast<const char*>(at_), n);
    at_ += n;
    return found;
  }

 private:
  const unsigned char* at_;
  const unsigned char* end_;
};

std::uint32_t rdev(Input& in) {
  return in.byte() & 1 ? 0x103 : 0;  // /dev/null, or a whiteout: never a device that does something
}

Body names_body(std::uint32_t op, Input& in) {
  switch (op) {
    case FUSE_SYMLINK: return Body().name(in.name()).name(in.name());
    case FUSE_MKNOD:
      return Body().put(fuse_mknod_in{in.word() & 0177777, rdev(in), in.byte(), 0}).name(in.name());
    case FUSE_MKDIR: return Body().put(fuse_mkdir_in{in.word(), in.byte()}).name(in.name());
    case FUSE_RENAME: return Body().put(fuse_rename_in{in.node()}).name(in.name()).name(in.name());
    case FUSE_RENAME2:
      return Body()
          .put(fuse_rename2_in{in.node(), in.byte() % 8u, 0})
          .name(in.name())
          .name(in.name());
    case FUSE_LINK: return Body().put(fuse_link_in{in.node()}).name(in.name());
    case FUSE_CREATE:
    case fusefs::wire::kOpTmpfile:
      return Body()
          .put(fuse_create_in{in.word() & 0x8fff, in.word() & 07777, in.byte(), 0})
          .name(in.name());
    default: return Body().name(in.name());
  }
}

Body xattr_body(std::uint32_t op, Input& in) {
  if (op == FUSE_SETXATTR) {
    fuse_setxattr_in head{};
    head.flags = in.byte() % 4;
    head.setxattr_flags = in.byte() & 1;
    std::string_view key = in.xattr(), value = in.text(in.byte() % 64);
    head.size = static_cast<std::uint32_t>(value.size()) + in.byte() / 250;
    return Body().put(head).name(key).raw(value);
  }
  if (op == FUSE_LISTXATTR) return Body().put(fuse_getxattr_in{in.small(), 0});
  if (op == FUSE_GETXATTR) return Body().put(fuse_getxattr_in{in.small(), 0}).name(in.xattr());
  return Body().name(in.xattr());
}

Body data_body(std::uint32_t op, Input& in) {
  if (op == FUSE_WRITE) {
    fuse_write_in head{};
    head.fh = in.handle();
    head.offset = in.number();
    head.write_flags = in.byte() % 8;
    head.size = in.byte() * 16u;
    std::size_t missing = in.byte() < 250 ? 0 : 8;
    return Body().put(head).raw(
        std::string(head.size - std::min<std::size_t>(head.size, missing), 'w'));
  }
  if (op == FUSE_COPY_FILE_RANGE) {
    fuse_copy_file_range_in head{};
    head.fh_in = in.handle();
    head.off_in = in.number();
    head.nodeid_out = in.node();
    head.fh_out = in.handle();
    head.off_out = in.number();
    head.len = in.number();
    head.flags = in.byte() / 250;
    return Body().put(head);
  }
  if (op == FUSE_FALLOCATE) {
    fuse_fallocate_in head{};
    head.fh = in.handle();
    head.offset = in.number() & ((1 << 20) - 1);  // the machine's memory is the file system
    head.length = in.number() & ((1 << 20) - 1);
    head.mode = in.byte();
    return Body().put(head);
  }
  fuse_read_in head{};  // read, readdir, readdirplus; lseek reads the same first fields
  head.fh = in.handle();
  head.offset = in.number();
  head.size = op == FUSE_LSEEK ? in.byte() % 8 : in.small();
  return Body().put(head);
}

Body attr_body(std::uint32_t op, Input& in) {
  if (op == FUSE_SETATTR) {
    fuse_setattr_in head{};
    head.valid = in.word() & 0xfff;
    head.fh = in.handle();
    head.size = in.number();
    head.atime = in.number();
    head.mtime = in.number();
    head.atimensec = in.small();
    head.mode = in.word();
    head.uid = in.id();
    head.gid = in.id();
    return Body().put(head);
  }
  if (op == FUSE_IOCTL) {
    constexpr std::array<std::uint32_t, 6> commands = {0x80086601, 0x40086602, 0x80087601,
                                                       0x801c581f, 0x401c5820, 7};
    fuse_ioctl_in head{};
    head.fh = in.handle();
    head.cmd = commands[in.byte() % commands.size()];
    // Never immutable or append-only: the harness could not remove the file again.
    std::string data(in.byte() % 40, static_cast<char>(in.byte() & 0xc0));
    head.in_size = in.small();
    head.out_size = in.small();
    return Body().put(head).raw(data);
  }
  fusefs::wire::StatxIn head{};  // statx; getattr reads the same first fields
  head.getattr_flags = in.byte() & 1;
  head.handle = in.handle();
  return Body().put(head);
}

Body body_of(std::uint32_t op, Input& in) {
  switch (op) {
    case FUSE_FORGET: return Body().put(fuse_forget_in{in.number()});
    case FUSE_BATCH_FORGET: {
      Body body;
      body.put(fuse_batch_forget_in{in.small(), 0});
      for (int n = in.byte() % 8; n > 0; --n) body.put(fuse_forget_one{in.node(), in.number()});
      return body;
    }
    case FUSE_INTERRUPT: return Body().put(fuse_interrupt_in{in.byte()});
    case FUSE_OPEN:
    case FUSE_OPENDIR: return Body().put(fuse_open_in{in.word() & 0x8fff, in.byte() & 1u});
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR: return Body().put(fuse_release_in{in.handle(), 0, 0, 0});
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR: return Body().put(fuse_fsync_in{in.handle(), in.byte(), 0});
    case FUSE_INIT: {
      fuse_init_in head{};
      head.major = in.byte();
      return Body().put(head);
    }
    case FUSE_GETATTR:
    case FUSE_SETATTR:
    case FUSE_IOCTL:
    case fusefs::wire::kOpStatx: return attr_body(op, in);
    case FUSE_SETXATTR:
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR:
    case FUSE_REMOVEXATTR: return xattr_body(op, in);
    case FUSE_READ:
    case FUSE_WRITE:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
    case FUSE_LSEEK:
    case FUSE_COPY_FILE_RANGE:
    case FUSE_FALLOCATE: return data_body(op, in);
    default: return names_body(op, in);
  }
}

void set(const std::string& path, const char* key, std::string_view value) {
  (void)::lsetxattr(path.c_str(), key, value.data(), value.size(), 0);
}

void make_layers(const fusefs_test::Layers& at) {
  const std::string low = at.lower(0), deep = at.lower(1), up = at.upper();
  for (const std::string& dir : {low, deep}) {
    for (const char* name : {"/dir", "/dir/sub", "/merged", "/opaque", "/gone", "/low2"})
      ::mkdir((dir + name).c_str(), 0755);
    fusefs_test::write_file(dir + "/merged/file", "text");
    fusefs_test::write_file(dir + "/opaque/file", "text");
    fusefs_test::write_file(dir + "/dir/sub/x", "text", 06755);
  }
  fusefs_test::write_file(low + "/file", "text", 0644);
  (void)::chown((low + "/file").c_str(), 1633, 1633);
  set(low + "/file", "user.usernetes.uid", "60000");
  set(low + "/file", "user.a", "value");
  set(low + "/dir/sub/x", "user.containers.override_stat", "60000:0:4755");
  fusefs_test::write_file(deep + "/hard1", "text");
  (void)!::link((deep + "/hard1").c_str(), (deep + "/hard2").c_str());
  fusefs_test::write_file(deep + "/big", "");
  (void)!::truncate((deep + "/big").c_str(), 300000);
  (void)!::symlink("../outside/secret", (deep + "/link").c_str());
  ::mknod((deep + "/fifo").c_str(), S_IFIFO | 0644, 0);
  fusefs_test::write_file(deep + "/.wh..wh.un.fifo", "0000060000:0000060000\n");
  ::mknod((low + "/gone/sub").c_str(), S_IFCHR, 0);
  fusefs_test::write_file(low + "/.wh.rel", "");
  ::mkdir((up + "/merged").c_str(), 0755);
  ::mkdir((up + "/opaque").c_str(), 0755);
  set(up + "/opaque", "trusted.overlay.opaque", "y");
  const std::pair<const char*, const char*> redirects[] = {
      {"/redirect", "/merged"}, {"/loop", "/loop/../loop"}, {"/rel", ".."}, {"/x", "/.."}};
  for (const auto& [name, to] : redirects) {
    for (const std::string& dir : {up, low}) {
      ::mkdir((dir + name).c_str(), 0755);
      set(dir + name, "trusted.overlay.redirect", to);
    }
  }
  fusefs_test::write_file(at.outside() + "/secret", "secret");
}

/// All that must not change, as one number.
std::uint64_t fingerprint(const std::string& path) {
  std::uint64_t hash = 1469598103934665603ull;
  auto mix = [&](std::uint64_t v) { hash = (hash ^ v) * 1099511628211ull; };
  auto look = [&](const std::string& at) {
    struct stat st;
    if (::lstat(at.c_str(), &st) != 0) return mix(7);
    for (std::uint64_t v : {st.st_ino, st.st_nlink, static_cast<ino_t>(st.st_mode)}) mix(v);
    for (std::int64_t v : {st.st_size, st.st_ctim.tv_sec, st.st_ctim.tv_nsec})
      mix(static_cast<std::uint64_t>(v));
  };
  look(path);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path))
    look(entry.path().string());
  return hash;
}

fusefs::OverlayOptions options_of(std::uint8_t a, std::uint8_t b) {
  fusefs::OverlayOptions options;
  options.max_write = 65536;
  options.dirfd_cache = 16;
  options.io = a & 1 ? ring::Io::ring_only : ring::Io::automatic;
  options.writeback = a & 2;
  options.acl = !(a & 4);
  options.redirect = !(a & 8);
  options.redirect_follow = !(a & 16);
  options.sync = a & 32;
  options.whiteout = a & 64 ? fusefs::WhiteoutForm::file : fusefs::WhiteoutForm::automatic;
  options.opaque = a & 128 ? fusefs::OpaqueForm::file : fusefs::OpaqueForm::automatic;
  options.timeout = b & 1 ? 0 : 1e9;
  options.static_nlink = b & 2;
  options.ino32 = b & 4;
  options.xattrs = !(b & 8);
  return options;
}

/// The names in a READDIR reply: none that only the layers have.
void check_names(const std::string& body, std::size_t head) {
  for (std::size_t at = 0; at < body.size();) {
    fuse_dirent entry{};
    require(body.size() - at >= head + FUSE_NAME_OFFSET, "a directory entry is cut off");
    std::memcpy(&entry, body.data() + at + head, FUSE_NAME_OFFSET);
    std::size_t size = FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + entry.namelen);
    require(entry.namelen > 0 && body.size() - at >= size, "a directory entry has no name");
    std::string_view name(body.data() + at + head + FUSE_NAME_OFFSET, entry.namelen);
    require(!name.starts_with(".wh.") && name.find('/') == name.npos, "an internal name is listed");
    at += size;
  }
}

void check_reply(std::uint32_t op, const fusefs_test::Reply& reply) {
  require(reply.error >= 0 && reply.error < 512, "an error that the kernel refuses");
  require(reply.error == 0 || reply.body.empty(), "an error with a body");
  if (reply.error != 0) return;
  if (op == FUSE_READDIR) check_names(reply.body, 0);
  if (op == FUSE_READDIRPLUS) check_names(reply.body, sizeof(fuse_entry_out));
  if (op == FUSE_LISTXATTR && reply.body.find('\0') != std::string::npos)
    require(reply.body.find("overlay.") == std::string::npos &&
                reply.body.find("usernetes") == std::string::npos,
            "an internal xattr is listed");
}

struct Asked {
  std::uint64_t unique;
  std::uint32_t op;
  bool answers;
};

Asked send_one(fusefs_test::Connection& to, Input& in, std::uint64_t unique) {
  fuse_in_header head{};
  std::uint8_t op = in.byte(), flags = in.byte();
  head.opcode = op < 250 ? op % (fusefs::wire::kOpCount + 1) : op * 16u;
  head.nodeid = in.node();
  head.unique = unique;
  head.uid = kIds[flags >> 4 & 3];
  head.gid = kIds[flags >> 6];
  head.pid = flags & 1 ? static_cast<std::uint32_t>(::getpid()) : 0;
  std::string message = fusefs_test::Connection::message(head, body_of(head.opcode, in).bytes());
  if ((flags & 6) == 6) {  // cut short; every second one lies about its length as well
    message.resize(in.byte() % (message.size() + 1));
    std::uint32_t told = static_cast<std::uint32_t>(message.size());
    if (!(flags & 8) && message.size() >= 4) std::memcpy(message.data(), &told, 4);
  }
  to.deliver(message);
  bool known = head.opcode < fusefs::kOps.size() && !fusefs::kOps[head.opcode].name.empty();
  bool answers = !known || fusefs::kOps[head.opcode].answers;
  std::uint32_t told = 0;
  std::memcpy(&told, message.data(), std::min<std::size_t>(message.size(), 4));
  // What is no message is answered as soon as it has a number to answer to.
  if (message.size() >= sizeof head && told != message.size()) answers = true;
  if ((flags & 14) != 14 && !(flags & 8)) to.settle();
  return {unique, head.opcode, answers && message.size() >= sizeof head};
}

void run(Input& in, const fusefs_test::Layers& layers, ring::Reactor& reactor) {
  std::uint8_t a = in.byte(), b = in.byte();
  auto fs = fusefs_test::overlay(layers, reactor, options_of(a, b), !(b & 16 && b & 32));
  require(fs != nullptr, "the layers do not open");
  fusefs_test::Connection connection(reactor, std::move(fs));
  if (b != 255) connection.init(45, b & 64 ? ~0ull : 0x3fffffff);
  std::vector<Asked> asked;
  for (std::uint64_t unique = 1000; !in.empty() && asked.size() < 200; ++unique)
    asked.push_back(send_one(connection, in, unique));
  connection.settle();
  require(connection.bad_lengths == 0, "a reply's length is wrong");
  for (const Asked& one : asked) {
    auto found = connection.replies.find(one.unique);
    std::size_t count = found == connection.replies.end() ? 0 : found->second.size();
    if (count != (one.answers ? 1 : 0)) std::fprintf(stderr, "op %u: %zu\n", one.op, count);
    require(count == (one.answers ? 1 : 0), "not exactly one reply");
    if (count) check_reply(one.op, found->second.front());
  }
}

/// What is open, the fuzzer's own pipes to its symbolizer left out.
std::string open_descriptors() {
  std::string open;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    std::string name = std::filesystem::read_symlink(entry.path(), ignored).string();
    if (!name.starts_with("pipe:")) open += name + "\n";
  }
  return open;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static std::unique_ptr<ring::Reactor> reactor = [] {
    rlimit small{64 << 20, 64 << 20};
    ::setrlimit(RLIMIT_FSIZE, &small);
    ::signal(SIGXFSZ, SIG_IGN);
    ::umask(0);
    auto made = ring::Reactor::make();
    require(made.has_value(), "no io_uring");
    return std::move(*made);
  }();
  static const std::string at_first = open_descriptors();
  fusefs_test::Layers layers(2, "/dev/shm");
  make_layers(layers);
  std::uint64_t outside = fingerprint(layers.outside());
  std::uint64_t lower = fingerprint(layers.lower(0)) ^ fingerprint(layers.lower(1)) << 1;
  Input in(data, size);
  run(in, layers, *reactor);
  require(fingerprint(layers.outside()) == outside, "something outside has changed");
  require((fingerprint(layers.lower(0)) ^ fingerprint(layers.lower(1)) << 1) == lower,
          "a lower layer has changed");
  const std::string at_last = open_descriptors();
  if (at_last != at_first) std::fprintf(stderr, "%s", at_last.c_str());
  require(at_last == at_first, "a descriptor is left open");
  return 0;
}
