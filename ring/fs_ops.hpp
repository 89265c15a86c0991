// Owns: the decision inline or ring for file data. Called by: fusefs handlers, as `co_await
// io.read(...)`. Never: blocks the reactor on a cold page: a read is first tried with RWF_NOWAIT,
// and what is not in the page cache goes to a kernel worker. The handler does not see which it was.
#pragma once
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>

#include "ring/reactor.hpp"

namespace ring {

/// Where data operations run. automatic: inline as far as that cannot block.
enum class Io : std::uint8_t { automatic, inline_only, ring_only };

/// A write into the page cache is a copy in memory, until the kernel makes writers wait for the
/// disk. After an inline write that took longer than this, the next ones go to a kernel worker.
inline constexpr std::int64_t kSlowWriteNs = 5'000'000;
inline constexpr std::uint32_t kWritesAfterSlow = 256;

/// What one mount's writes have taught us.
struct WritePace {
  std::uint32_t deferred_left = 0;
};

class Transfer final : public Completion {
 public:
  Transfer(Reactor& reactor, Io io, bool writing, int fd, void* data, std::size_t length,
           off_t offset, WritePace& pace)
      : reactor_(reactor),
        io_(io),
        writing_(writing),
        fd_(fd),
        data_(data),
        length_(length),
        offset_(offset),
        pace_(pace) {}
  bool await_ready();
  void await_suspend(std::coroutine_handle<> waiter);
  /// Bytes transferred (short only at the end of the file or after an error), or -errno.
  ssize_t await_resume() const { return done_ > 0 ? static_cast<ssize_t>(done_) : status_; }
  void complete(int result, bool more) override;

 private:
  bool try_inline();
  void start_rest();
  Reactor& reactor_;
  Io io_;
  bool writing_;
  int fd_;
  void* data_;
  std::size_t length_;
  off_t offset_;
  WritePace& pace_;
  std::size_t done_ = 0;
  int status_ = 0;
  std::coroutine_handle<> waiter_;
};

class FileIo {
 public:
  FileIo(Reactor& reactor, Io io) : reactor_(reactor), io_(io) {}
  /// pread(2) of `length` bytes. The descriptor and the buffer must live until it is done.
  Transfer read(int fd, void* data, std::size_t length, off_t offset) {
    return {reactor_, io_, false, fd, data, length, offset, pace_};
  }
  /// pwrite(2), the same.
  Transfer write(int fd, const void* data, std::size_t length, off_t offset) {
    return {reactor_, io_, true, fd, const_cast<void*>(data), length, offset, pace_};
  }
  /// fsync(2) or fdatasync(2); 0 or -errno.
  OpAwait sync(int fd, bool data_only);
  /// fallocate(2); 0 or -errno.
  OpAwait allocate(int fd, int mode, off_t offset, off_t length);
  Reactor& reactor() { return reactor_; }

 private:
  Reactor& reactor_;
  Io io_;
  WritePace pace_;
};

}  // namespace ring
