// Owns: nothing; what the engine's handlers need of the owner store. Called by: on_chown, on_stat.
// daemon/ adapts fusefs to it: fusefs and seccomp do not know each other. Never: follows a link.
#pragma once
#include <sys/stat.h>

#include <optional>
#include <utility>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "identity/hash_slot.hpp"

namespace seccomp {

class OwnerSource {
 public:
  virtual ~OwnerSource() = default;
  /// True owner of the file of an O_PATH descriptor if it lies in one of the engine's stores (and
  /// not in a mount of ours). Nothing: it is none of ours, its owner fields say all.
  virtual std::optional<std::pair<identity::Id, identity::Id>> owner(const base::Fd& file) = 0;
  /// chown(2) by record and hash slot; kNoId leaves as it is. ENOENT (Nothing to do): not in a
  /// store; the kernel shall do it. EXDEV: as before, but may not be done inline (a mount of ours).
  virtual base::Result<> chown(const base::Fd& file, identity::Id uid, identity::Id gid) = 0;
};

}  // namespace seccomp
