// Owns: one request from the kernel and the answer being built. Called by: Session, and every
// handler. Never: lets a handler answer twice or not at all: it returns, and the session sends what
// it returned.
#pragma once
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "fusefs/overlay.hpp"
#include "fusefs/wire.hpp"

namespace fusefs {

/// Large page-aligned buffers, reused: a request's own bytes, and the data it is answered with.
class BufferPool {
 public:
  explicit BufferPool(std::size_t size) : size_(size) {}
  /// The one pool of this thread for buffers of that size. All sessions share it: a mount that
  /// idles costs none, and what is kept for the next request does not grow with the mounts.
  static std::shared_ptr<BufferPool> of_size(std::size_t size);
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  struct Free {
    BufferPool* pool;
    void operator()(std::byte* p) const { pool->give_back(p); }
  };
  using Buffer = std::unique_ptr<std::byte, Free>;
  ~BufferPool();
  Buffer take();
  std::size_t size() const { return size_; }
  /// Buffers taken and not yet given back.
  std::size_t lent() const { return lent_; }

 private:
  static constexpr std::size_t kKeep = 16;
  void give_back(std::byte* p);
  std::size_t size_;
  std::vector<std::byte*> free_;
  std::size_t lent_ = 0;
};
using Buffer = BufferPool::Buffer;

struct Request {
  fuse_in_header header{};
  std::span<const std::byte> body;
  Node* node = nullptr;  // of header.nodeid
  BufferPool* buffers = nullptr;
  Buffer storage{nullptr, {nullptr}};  // keeps body alive when the handler has to wait
  bool interrupted = false;            // its caller got a signal
  Verdict again = Verdict::none;       // of a request that an earlier process had begun
  bool setxattr_ext = true;            // the connection has agreed on FUSE_SETXATTR_EXT

  base::Reader reader() const { return base::Reader(body); }
  /// The same each time it is sent.
  std::uint64_t unique() const { return header.unique & ~wire::kUniqueResend; }
};

/// A part of a file that answers a read: all of it in the page cache, so that it can go to the
/// kernel without a copy through our memory.
struct Slice {
  SharedFd file;
  off_t offset = 0;
  std::size_t length = 0;
};

class Answer {
 public:
  /// Fixed-size bodies, one after the other.
  template <class T>
  void put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    std::memcpy(small_ + small_size_, &value, sizeof value);
    small_size_ += sizeof value;
    static_assert(sizeof value <= sizeof small_);
  }
  void put(std::string text) { text_ = std::move(text); }
  void put(Buffer data, std::size_t size) {
    data_ = std::move(data);
    data_size_ = size;
  }
  void put(Slice slice) { slice_ = std::move(slice); }
  const Slice* slice() const { return slice_.length ? &slice_ : nullptr; }
  std::span<const std::byte> fixed() const { return {small_, small_size_}; }
  std::span<const std::byte> variable() const {
    if (data_) return {data_.get(), data_size_};
    return std::as_bytes(std::span(text_));
  }

 private:
  alignas(8) std::byte small_[sizeof(wire::StatxOut)];
  std::size_t small_size_ = 0;
  std::string text_;
  Buffer data_{nullptr, {nullptr}};
  std::size_t data_size_ = 0;
  Slice slice_;
};

using Done = base::Result<>;

/// The truth behind the ids in a request's header.
Caller caller_of(const Overlay& fs, const Request& request);

/// "mnt:[40…] user:[40…]" of a process ("self", or a pid as our /proc numbers it); "": it is gone.
std::string namespaces_of(const std::string& pid);
/// Whether this thread has been killed and only waits for us: by /proc/PID/status.
bool is_dying(std::uint32_t pid);
/// Whether an xattr of this name is neither shown nor set, since the kernel would let anybody set
/// it. `acls`: the layers keep POSIX ACLs.
bool is_unguarded_xattr(std::string_view name, bool acls);
/// Clears set-id bits and capabilities of `node` as far as this request's caller may not keep them.
Done kill_privileges(Overlay& fs, const Request& request, Node* node);
/// Seconds and nanoseconds for which the kernel may keep an answer.
struct Validity {
  std::uint64_t seconds;
  std::uint32_t nanoseconds;
};
Validity validity(const Overlay& fs);
fuse_attr to_attr(const struct stat& st);
/// Answers with the entry and counts the kernel's new reference.
fuse_entry_out to_entry(Overlay& fs, const Entry& entry);
fuse_attr_out to_attr_out(const Overlay& fs, Node& node, const struct stat& st);

}  // namespace fusefs
