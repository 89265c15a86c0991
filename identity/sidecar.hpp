// Owns: name and text of the file that tells the owner of a symlink, fifo, socket or device, where
// the kernel refuses user.* attributes (docs/decisions/0002). Called by: fusefs/owner_store (writes
// and believes them), images (reads them). Never: opens one.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"
#include "identity/hash_slot.hpp"

namespace identity {

inline constexpr std::string_view kSidecarPrefix = ".wh..wh.un.";
inline constexpr std::size_t kSidecarSize = 22;  // "%010u:%010u\n": rewritten in place

/// The sidecar's name for an entry; long names are hashed to stay within NAME_MAX.
std::string sidecar_name(std::string_view entry);
/// Uid and gid; anything but 22 well formed bytes: EINVAL.
base::Result<std::pair<Id, Id>> parse_sidecar(std::string_view text);
std::string format_sidecar(Id uid, Id gid);

}  // namespace identity
