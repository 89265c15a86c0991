// Owns: what the FUSE protocol has beyond the build host's <linux/fuse.h> (Debian 12: 7.38).
// Called by: fusefs only. Never: redefines what the header has; every addition names its kernel.
#pragma once
#include <linux/fuse.h>

#include <cstdint>

namespace fusefs::wire {

// INIT flags (low word in flags, high word in flags2).
inline constexpr std::uint64_t kInitExt = 1ull << 30;            // 5.17: flags2 is valid
inline constexpr std::uint64_t kDirectIoAllowMmap = 1ull << 36;  // 6.6
inline constexpr std::uint64_t kHasResend = 1ull << 39;          // 6.9

/// In a request's unique number, and to be repeated in the reply: it has been sent before. 6.9
inline constexpr std::uint64_t kUniqueResend = 1ull << 63;
inline constexpr int kNotifyResend = 7;          // 6.9, in a message without body
inline constexpr std::uint64_t kUniqueStep = 2;  // from one request to the next

// Opcodes.
inline constexpr std::uint32_t kOpSyncfs = 50;   // 5.14
inline constexpr std::uint32_t kOpTmpfile = 51;  // 6.2
inline constexpr std::uint32_t kOpStatx = 52;    // 6.6
inline constexpr std::uint32_t kOpCount = 53;

/// fuse_init_out as of 7.45; the same 64 bytes as the header's.
struct InitOut {
  std::uint32_t major, minor, max_readahead, flags;
  std::uint16_t max_background, congestion_threshold;
  std::uint32_t max_write, time_gran;
  std::uint16_t max_pages, map_alignment;
  std::uint32_t flags2, max_stack_depth;
  std::uint16_t request_timeout, unused[11];
};
static_assert(sizeof(InitOut) == 64);

struct Time {  // fuse_sx_time, 6.6
  std::int64_t seconds;
  std::uint32_t nanoseconds;
  std::int32_t reserved;
};
struct Statx {  // fuse_statx, 6.6
  std::uint32_t mask, block_size;
  std::uint64_t attributes;
  std::uint32_t nlink, uid, gid;
  std::uint16_t mode, spare0;
  std::uint64_t ino, size, blocks, attributes_mask;
  Time atime, btime, ctime, mtime;
  std::uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
  std::uint64_t spare2[14];
};
static_assert(sizeof(Statx) == 256);
struct StatxIn {  // fuse_statx_in, 6.6
  std::uint32_t getattr_flags, reserved;
  std::uint64_t handle;
  std::uint32_t sx_flags, sx_mask;
};
struct StatxOut {  // fuse_statx_out, 6.6
  std::uint64_t attr_valid;
  std::uint32_t attr_valid_nsec, flags;
  std::uint64_t spare[2];
  Statx stat;
};
static_assert(sizeof(StatxOut) == 288);

}  // namespace fusefs::wire
