#include "seccomp/remote_file.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>

namespace seccomp {
namespace {

// Who renames without end what we open gets EAGAIN in the end.
constexpr unsigned kMostTries = 16;
constexpr std::size_t kMostAtOnce = 1 << 20;

base::Result<std::size_t> counted(int result) {
  if (result < 0) return tl::make_unexpected(of_memory(base::Errno{-result}));
  if (result == 0) return base::fail(ESRCH);
  return static_cast<std::size_t>(result);
}

ring::Task<base::Result<>> transfer(ring::Reactor& reactor, std::uint8_t opcode, int memory,
                                    std::uint64_t address, const std::byte* data,
                                    std::size_t size) {
  if (address > kHighestAddress || size > kHighestAddress - address) co_return base::fail(EFAULT);
  unsigned tries = 0;
  for (std::size_t done = 0; done < size;) {
    ring::Op op =
        transferring(opcode, address + done, {data + done, std::min(size - done, kMostAtOnce)});
    op.fd = memory;
    int result = co_await reactor.operation(op);
    // The memory of a task that is dying may answer so for ever.
    if ((result == -EINTR || result == -EAGAIN) && ++tries < kMostTries) continue;
    CO_TRY(moved, counted(result));
    done += moved;
  }
  co_return base::Unit{};
}

}  // namespace

base::Errno of_memory(base::Errno error) {
  if (error.value == ENOENT) return {ESRCH};
  if (error.value == EIO) return {EFAULT};
  return error;
}

ring::Op transferring(std::uint8_t opcode, std::uint64_t address,
                      std::span<const std::byte> bytes) {
  ring::Op op;
  op.opcode = opcode;
  op.offset = address;
  op.address = bytes.data();
  op.length = static_cast<std::uint32_t>(bytes.size());
  return op;
}

ring::Op opening(int dir, const std::string& path, const open_how& how) {
  ring::Op op;
  op.opcode = IORING_OP_OPENAT2;
  op.fd = dir;
  op.address = path.c_str();
  op.length = sizeof how;
  op.offset = reinterpret_cast<std::uint64_t>(&how);
  return op;
}

ring::Task<base::Result<base::Fd>> open_file(ring::Reactor& reactor, int dir, std::string path,
                                             std::uint64_t flags, std::uint64_t resolve) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = resolve;
  const ring::Op op = opening(dir, path, how);
  int result = -EAGAIN;
  for (unsigned tries = 0; tries < kMostTries && (result == -EINTR || result == -EAGAIN); ++tries)
    result = co_await reactor.operation(op);
  if (result < 0) co_return base::fail(-result);
  co_return base::Fd(result);
}

ring::Task<base::Result<struct statx>> stat_file(ring::Reactor& reactor, int file) {
  struct statx found {};
  ring::Op op;
  op.opcode = IORING_OP_STATX;
  op.fd = file;
  op.address = "";
  op.length = STATX_BASIC_STATS;
  op.offset = reinterpret_cast<std::uint64_t>(&found);
  op.op_flags = AT_EMPTY_PATH;
  int result = co_await reactor.operation(op);
  if (result < 0) co_return base::fail(-result);
  co_return found;
}

ring::Task<base::Result<std::string>> read_whole(ring::Reactor& reactor, std::string path,
                                                 std::size_t most) {
  CO_TRY(file, co_await open_file(reactor, AT_FDCWD, path, O_RDONLY));
  std::string text;
  std::array<char, 16384> chunk;
  for (unsigned tries = 0;;) {
    ring::Op op;
    op.opcode = IORING_OP_READ;
    op.fd = file.get();
    op.offset = text.size();
    op.address = chunk.data();
    op.length = chunk.size();
    int result = co_await reactor.operation(op);
    if ((result == -EINTR || result == -EAGAIN) && ++tries < kMostTries) continue;
    if (result < 0) co_return base::fail(-result);
    if (result == 0) co_return text;
    if (text.size() + static_cast<std::size_t>(result) > most) co_return base::fail(EFBIG);
    text.append(chunk.data(), static_cast<std::size_t>(result));
  }
}

ring::Task<base::Result<>> read_memory(ring::Reactor& reactor, int memory, std::uint64_t address,
                                       std::span<std::byte> bytes) {
  return transfer(reactor, IORING_OP_READ, memory, address, bytes.data(), bytes.size());
}

ring::Task<base::Result<>> write_memory(ring::Reactor& reactor, int memory, std::uint64_t address,
                                        std::span<const std::byte> bytes) {
  return transfer(reactor, IORING_OP_WRITE, memory, address, bytes.data(), bytes.size());
}

}  // namespace seccomp
