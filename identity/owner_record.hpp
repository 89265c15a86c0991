// Owns: the texts in which an owner is stored with a file, ours and those of other tools.
// Called by: fusefs (owner store, xattr filter), cli (fsck, map), tests/fuzz.
// Never: reads or writes an xattr; it translates bytes, and refuses all that is not exactly valid.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"
#include "identity/hash_slot.hpp"

namespace identity {

/// Our record: the true id in decimal, as the seed writes it.
inline constexpr std::string_view kUidXattr = "user.usernetes.uid";
inline constexpr std::string_view kGidXattr = "user.usernetes.gid";

/// Stat overrides that we read, highest priority first: c/storage (and fuse-overlayfs
/// xattr_permissions=2), fuse-overlayfs unprivileged, fuse-overlayfs xattr_permissions=1.
inline constexpr std::array<std::string_view, 3> kOverrideXattrs = {
    "user.containers.override_stat",
    "user.fuseoverlayfs.override_stat",
    "security.fuseoverlayfs.override_stat",
};
/// umoci's and PRoot's record, lowest priority (rootlesscontaine.rs).
inline constexpr std::string_view kRootlessXattr = "user.rootlesscontainers";

/// Strict decimal 0..4294967294: no sign, space, NUL, newline or leading zero. Else EINVAL.
base::Result<Id> parse_id(std::string_view text);
/// The inverse of parse_id.
std::string format_id(Id id);

enum class NodeType : std::uint8_t { unknown, file, dir, symlink, fifo, socket, block, chr };

struct OverrideStat {
  Id uid = 0;
  Id gid = 0;
  std::uint32_t mode = 0;  // permission bits only, <= 07777
  NodeType type = NodeType::unknown;
  std::uint32_t major = 0;  // of block and chr only; 0:0 when the text does not tell
  std::uint32_t minor = 0;
  friend bool operator==(OverrideStat const&, OverrideStat const&) = default;
};

/// `uid:gid:mode[:type]`, mode octal with or without S_IFMT bits, type one of file, dir, symlink,
/// pipe, socket, block-MAJ-MIN, char-MAJ-MIN (':' for '-' accepted). The type field wins over the
/// S_IFMT bits. Anything else: EINVAL. Source: c/storage pkg/idtools, fuse-overlayfs main.c.
base::Result<OverrideStat> parse_override_stat(std::string_view text);
/// c/storage's spelling: four octal digits, and the type unless unknown.
std::string format_override_stat(OverrideStat const& stat);

/// What an empty file stands for where a device may not be made. Owner and mode are the file's.
inline constexpr std::string_view kDeviceXattr = "user.usernetes.device";
struct Device {
  NodeType type = NodeType::chr;  // or block
  std::uint32_t major = 0, minor = 0;
  friend bool operator==(Device const&, Device const&) = default;
};
/// `char-MAJ-MIN` or `block-MAJ-MIN`. Anything else, and char-0-0, which is a whiteout: EINVAL.
base::Result<Device> parse_device(std::string_view text);
std::string format_device(Device const& device);

/// uid and gid of a protobuf `Resource { uint32 uid = 1; uint32 gid = 2; }`. Unknown fields are
/// skipped; truncation, groups and ids above 32 bits: EINVAL. kNoId stands for "not overridden"
/// (NoopID of rootlesscontainers.proto).
base::Result<std::pair<Id, Id>> parse_rootlesscontainers(std::string_view bytes);

/// Whether an xattr of this name must be invisible and unsettable inside a mount: who can set one
/// can become another owner.
bool is_internal_xattr(std::string_view name);

}  // namespace identity
