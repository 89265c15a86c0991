// Owns: nothing; it finds out which user namespace owns the namespaces that a container joins.
// Called by: cli/runtime_verb. Never: enters one, or believes a path: owners are asked of the
// kernel (ioctl_ns(2)).
#pragma once
#include <sys/types.h>

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "identity/pool.hpp"
#include "runtime/spec.hpp"

namespace oci {

/// Device and inode of a user namespace; {0, 0}: not known, so none of ours.
using UserNamespaceId = std::pair<dev_t, ino_t>;

/// A namespace that is joined by path, and who owns it.
struct Joined {
  std::string type, path;
  UserNamespaceId owner{};
  ino_t inode = 0;  // of itself; 0: not known
};

/// A user namespace nested in ours, held by the process whose namespaces are joined.
struct Nested {
  UserNamespaceId id{};
  std::string path;  // /proc/PID/ns/user
  std::vector<identity::Extent> uids, gids;
};

/// Those of `namespaces` that have a path.
std::vector<Joined> look_at(std::span<const Namespace> namespaces);

/// The user namespace that owns one of `joined`, where that is a child of ours which belongs to us
/// and its maps can be read; nothing otherwise.
std::optional<Nested> nested_owner(std::span<const Joined> joined);

}  // namespace oci
