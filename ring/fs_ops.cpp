#include "ring/fs_ops.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/clock.hpp"

namespace ring {
bool Transfer::try_inline() {
  while (done_ < length_) {
    iovec piece{static_cast<char*>(data_) + done_, length_ - done_};
    off_t at = offset_ + static_cast<off_t>(done_);
    bool may_block = io_ == Io::inline_only;
    ssize_t n = writing_ ? ::pwritev2(fd_, &piece, 1, at, 0)
                         : ::preadv2(fd_, &piece, 1, at, may_block ? 0 : RWF_NOWAIT);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (!may_block && !writing_ && (errno == EAGAIN || errno == EOPNOTSUPP)) return false;
      status_ = -errno;
      return true;
    }
    if (n == 0) return true;
    done_ += static_cast<std::size_t>(n);
    // A read that stops inside a page has met the end of the file, not a page that is not there.
    constexpr std::size_t kPage = 4096;
    if (!writing_ && (static_cast<std::size_t>(at) + static_cast<std::size_t>(n)) % kPage)
      return true;
  }
  return true;
}

bool Transfer::await_ready() {
  if (io_ == Io::ring_only) return false;
  if (io_ == Io::inline_only || !writing_) return try_inline();
  if (pace_.deferred_left > 0) {
    --pace_.deferred_left;
    return false;
  }
  std::int64_t before = base::monotonic_ns();
  bool done = try_inline();
  if (base::monotonic_ns() - before > kSlowWriteNs) pace_.deferred_left = kWritesAfterSlow;
  return done;
}

void Transfer::await_suspend(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  start_rest();
}

void Transfer::start_rest() {
  Op op;
  op.opcode = writing_ ? IORING_OP_WRITE : IORING_OP_READ;
  op.fd = fd_;
  op.address = static_cast<char*>(data_) + done_;
  op.length = static_cast<std::uint32_t>(length_ - done_);
  op.offset = static_cast<std::uint64_t>(offset_) + done_;
  reactor_.start(op, this);
}

void Transfer::complete(int result, bool) {
  if (result > 0) {
    done_ += static_cast<std::size_t>(result);
    if (done_ < length_) return start_rest();
  } else {
    status_ = result;
  }
  waiter_.resume();
}

OpAwait FileIo::sync(int fd, bool data_only) {
  Op op;
  op.opcode = IORING_OP_FSYNC;
  op.fd = fd;
  op.op_flags = data_only ? IORING_FSYNC_DATASYNC : 0;
  return reactor_.operation(op);
}

OpAwait FileIo::allocate(int fd, int mode, off_t offset, off_t length) {
  Op op;
  op.opcode = IORING_OP_FALLOCATE;
  op.fd = fd;
  op.offset = static_cast<std::uint64_t>(offset);
  op.length = static_cast<std::uint32_t>(mode);
  op.address = reinterpret_cast<const void*>(static_cast<std::uintptr_t>(length));
  return reactor_.operation(op);
}

}  // namespace ring
