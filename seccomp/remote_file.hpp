// Owns: nothing; opening and reading by ring operations what may wait for somebody else: /proc of a
// task, its memory, its paths. Called by: Tracees. Never: makes one of these calls in the reactor.
#pragma once
#include <linux/openat2.h>
#include <sys/stat.h>

#include <cstdint>
#include <span>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "ring/reactor.hpp"
#include "ring/task.hpp"

namespace seccomp {

/// No byte of a task behind this one is reached: offsets of files are signed, and -1 means the
/// file's own position to the ring.
inline constexpr std::uint64_t kHighestAddress = INT64_MAX;
/// IORING_OP_READ or IORING_OP_WRITE of /proc/TID/mem, whose descriptor is still to be set.
ring::Op transferring(std::uint8_t opcode, std::uint64_t address, std::span<const std::byte> bytes);
/// openat2(2) as an operation: `path` and `how` must stay until it is over.
ring::Op opening(int dir, const std::string& path, const open_how& how);
/// openat2(2); O_CLOEXEC is added. `resolve`: RESOLVE_*.
ring::Task<base::Result<base::Fd>> open_file(ring::Reactor& reactor, int dir, std::string path,
                                             std::uint64_t flags, std::uint64_t resolve = 0);
/// statx(2) of an open file, of O_PATH too; STATX_BASIC_STATS.
ring::Task<base::Result<struct statx>> stat_file(ring::Reactor& reactor, int file);
/// A file of /proc, of which no size is known; EFBIG if it is longer than `most`.
ring::Task<base::Result<std::string>> read_whole(ring::Reactor& reactor, std::string path,
                                                 std::size_t most);
/// Of an open /proc/TID/mem: all of the bytes, or EFAULT; ESRCH if nobody has that memory any more.
ring::Task<base::Result<>> read_memory(ring::Reactor& reactor, int memory, std::uint64_t address,
                                       std::span<std::byte> bytes);
ring::Task<base::Result<>> write_memory(ring::Reactor& reactor, int memory, std::uint64_t address,
                                        std::span<const std::byte> bytes);
/// What an error of /proc/TID/mem means: ENOENT is ESRCH, EIO is EFAULT.
base::Errno of_memory(base::Errno error);

}  // namespace seccomp
