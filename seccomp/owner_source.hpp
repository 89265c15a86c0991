// Owns: nothing; what the engine's handlers need of the owner store. Called by: on_engine. daemon/
// adapts fusefs to it: fusefs and seccomp do not know each other. Never: follows a link, or looks
// at a mount of our own: the handlers have made sure that the file lies in a store.
#pragma once
#include <sys/stat.h>

#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "identity/hash_slot.hpp"
#include "identity/owner_record.hpp"

namespace seccomp {

/// A file of a store, found once: by its descriptor, and if it is one that can have no attributes
/// (symlink, fifo, socket, device) by its name as well, beside which its record lies.
struct StoreFile {
  base::Fd file;  // O_PATH, of the thing itself
  struct stat st {};
  base::Fd directory;  // not valid: the name is not known
  std::string name;
};

struct Truth {
  identity::Id uid = 0, gid = 0;
  std::optional<identity::Device> device{};  // that an empty file stands for
};

class OwnerSource {
 public:
  virtual ~OwnerSource() = default;
  /// Directories below which the layers lie, as the engine names them.
  virtual std::span<const std::string> stores() const = 0;
  /// False: a file of this kind is what these fields say.
  virtual bool may_differ(const struct stat& st) const = 0;
  /// What it is in truth.
  virtual Truth truth(const StoreFile& file) = 0;
  /// chown(2) by record and hash slot; kNoId leaves as it is. ENOENT: the kernel shall do it, for
  /// the ids are such as it knows, and there is no record.
  virtual base::Result<> chown(const StoreFile& file, identity::Id uid, identity::Id gid) = 0;
  /// mknod(2) of a device that the kernel refuses: a record.
  virtual base::Result<> make_device(const base::Fd& directory, const std::string& name,
                                     mode_t mode, const identity::Device& device) = 0;
};

}  // namespace seccomp
