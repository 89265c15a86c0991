// Owns: an overlay without a mount: layers in a temporary directory, a Session whose device is one
// end of a socket pair, the requests put in and the replies taken out. Called by: the tests of
// tests/fusefs and the fuzzer. Never: needs /dev/fuse, or waits for what does not come.
#pragma once
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fusefs/layer.hpp"
#include "fusefs/overlay.hpp"
#include "fusefs/session.hpp"
#include "identity/pool.hpp"
#include "ring/reactor.hpp"

namespace fusefs_test {

using fusefs::Node;
using fusefs::NodeId;

/// lower0 (top), lower1, ..., upper, work, and outside, where nothing may ever happen.
class Layers {
 public:
  explicit Layers(int lowers = 1, const char* base = nullptr) : lowers_(lowers) {
    const char* temporary = std::getenv("TMPDIR");
    root_ = std::string(base ? base : temporary ? temporary : "/tmp") + "/uni-rig.XXXXXX";
    if (!::mkdtemp(root_.data())) std::abort();
    for (int i = 0; i < lowers; ++i) ::mkdir(lower(i).c_str(), 0755);
    for (const auto& dir : {upper(), work(), outside()}) ::mkdir(dir.c_str(), 0755);
  }
  ~Layers() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  Layers(const Layers&) = delete;
  Layers& operator=(const Layers&) = delete;
  const std::string& root() const { return root_; }
  std::string lower(int i = 0) const { return root_ + "/lower" + std::to_string(i); }
  std::string upper() const { return root_ + "/upper"; }
  std::string work() const { return root_ + "/work"; }
  std::string outside() const { return root_ + "/outside"; }
  fusefs::LayerPaths paths(bool writable = true) const {
    fusefs::LayerPaths paths;
    for (int i = 0; i < lowers_; ++i) paths.lower.push_back(lower(i));
    if (writable) {
      paths.upper = upper();
      paths.work = work();
    }
    return paths;
  }

 private:
  int lowers_;
  std::string root_;
};

inline void write_file(const std::string& path, std::string_view text, mode_t mode = 0644) {
  base::Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!fd.valid() || ::write(fd.get(), text.data(), text.size()) < 0) std::abort();
}

/// The pool of a user with 2,001 ids, or what `map` says.
inline fusefs::IdMapper mapper(const char* map = "0 0 1\n1 1 1999\n65534 2000 2\n") {
  auto pool = identity::Pool::parse(map);
  fusefs::IdMapper::Setup setup;
  setup.range = pool->hash_range();
  setup.slots = std::make_shared<identity::LiveSlots>(
      *pool, setup.range, identity::Rule::wide, identity::Window{}, identity::Collisions::separate);
  return fusefs::IdMapper(std::move(setup));
}

/// nullptr: the layers can not be opened.
inline std::unique_ptr<fusefs::Overlay> overlay(const Layers& layers, ring::Reactor& reactor,
                                                const fusefs::OverlayOptions& options = {},
                                                bool writable = true) {
  auto stack = fusefs::LayerStack::open(layers.paths(writable), options);
  if (!stack) return nullptr;
  return std::make_unique<fusefs::Overlay>(std::move(*stack), mapper(), mapper(), options, reactor);
}

/// The body of a request.
class Body {
 public:
  template <class T>
  Body& put(const T& value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Body& name(std::string_view text) {
    bytes_.append(text).push_back('\0');
    return *this;
  }
  Body& raw(std::string_view text) {
    bytes_.append(text);
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

struct Reply {
  int error = -1;  // positive errno, 0: success, -1: there was none
  std::string body;
  template <class T>
  T as(std::size_t at = 0) const {
    T value{};
    if (body.size() >= at + sizeof value) std::memcpy(&value, body.data() + at, sizeof value);
    return value;
  }
};

class Connection {
 public:
  Connection(ring::Reactor& reactor, std::unique_ptr<fusefs::Overlay> fs) : reactor_(reactor) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
      std::abort();
    const int room = 8 << 20;
    ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    peer_ = base::Fd(ends[1]);
    fusefs::Session::Hooks hooks;
    hooks.on_ready = [this] { ++ready; };
    hooks.on_end = [this](int error) { ended = error; };
    session_ = std::make_unique<fusefs::Session>(reactor, base::Fd(ends[0]), std::move(fs),
                                                 std::move(hooks));
  }
  ~Connection() {
    settle();
    session_.reset();
    reactor_.stop();
    reactor_.run();  // until the kernel has confirmed the end of the watch
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  fusefs::Session& session() { return *session_; }
  fusefs::Overlay& fs() { return session_->overlay(); }
  Node* root() { return fs().nodes().root(); }

  /// Hands over any bytes as one message.
  void deliver(std::string_view message) {
    auto buffer = session_->buffers().take();
    std::size_t size = std::min(message.size(), session_->buffers().size());
    std::memcpy(buffer.get(), message.data(), size);
    session_->handle(std::move(buffer), size);
    collect();
  }
  static std::string message(const fuse_in_header& head, std::string_view body) {
    fuse_in_header header = head;
    header.len = static_cast<std::uint32_t>(sizeof header + body.size());
    return std::string(reinterpret_cast<const char*>(&header), sizeof header).append(body);
  }
  /// A request whose answer may come later; its unique number.
  std::uint64_t send(std::uint32_t opcode, NodeId node, const Body& body, std::uint32_t uid = 0,
                     std::uint32_t gid = 0) {
    fuse_in_header header{};
    header.opcode = opcode;
    header.nodeid = node;
    header.unique = next_ += 2;
    header.uid = uid;
    header.gid = gid;
    deliver(message(header, body.bytes()));
    return header.unique;
  }
  /// A request and its answer.
  Reply call(std::uint32_t opcode, NodeId node, const Body& body = {}, std::uint32_t uid = 0,
             std::uint32_t gid = 0) {
    std::uint64_t unique = send(opcode, node, body, uid, gid);
    settle();
    return reply(unique);
  }
  Reply init(std::uint32_t minor = 45, std::uint64_t flags = ~0ull) {
    fuse_init_in in{};
    in.major = FUSE_KERNEL_VERSION;
    in.minor = minor;
    in.max_readahead = 131072;
    in.flags = static_cast<std::uint32_t>(flags);
    in.flags2 = static_cast<std::uint32_t>(flags >> 32);
    return call(FUSE_INIT, 0, Body().put(in));
  }
  Reply reply(std::uint64_t unique) const {
    auto found = replies.find(unique);
    return found == replies.end() || found->second.empty() ? Reply{} : found->second.front();
  }
  NodeId lookup(NodeId parent, std::string_view name) {
    return call(FUSE_LOOKUP, parent, Body().name(name)).as<fuse_entry_out>().nodeid;
  }
  /// One round of the reactor that does not sleep.
  void turn() {
    reactor_.defer([] {});
    reactor_.turn();
    collect();
  }
  void settle() {
    turn();
    while (session_->in_flight()) {
      reactor_.turn();
      collect();
    }
  }

  int ready = 0;
  int ended = -1;
  int bad_lengths = 0;                                  // replies whose len is not their size
  std::map<std::uint64_t, std::vector<Reply>> replies;  // all of them, by unique

 private:
  // A stream, since a read may be answered in pieces (splice): each reply says where it ends.
  void collect() {
    char piece[65536];
    for (ssize_t got; (got = ::recv(peer_.get(), piece, sizeof piece, 0)) > 0;)
      stream_.append(piece, static_cast<std::size_t>(got));
    std::size_t at = 0;
    for (fuse_out_header header{}; stream_.size() - at >= sizeof header; at += header.len) {
      std::memcpy(&header, stream_.data() + at, sizeof header);
      if (header.len < sizeof header || header.len > stream_.size() - at) {
        ++bad_lengths;
        break;
      }
      std::string body(stream_, at + sizeof header, header.len - sizeof header);
      replies[header.unique].push_back({-header.error, std::move(body)});
    }
    stream_.erase(0, at);
    if (!stream_.empty()) ++bad_lengths;
  }
  ring::Reactor& reactor_;
  base::Fd peer_;
  std::string stream_;
  std::unique_ptr<fusefs::Session> session_;
  std::uint64_t next_ = 0;
};

}  // namespace fusefs_test
