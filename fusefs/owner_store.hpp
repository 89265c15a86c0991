// Owns: how a file's true owner is written down on a layer and read back.
// Called by: Overlay for every look-up, creation, chown, rename and copy-up.
// Never: follows a symbolic link; believes a record that is not well formed.
//
// Regular files and directories carry user.usernetes.uid / .gid. Where user.* is refused (symlinks,
// fifos, sockets, devices) a sidecar, a small regular file `.wh..wh.un.NAME` beside the entry,
// holds the same two numbers: it moves with the directory, survives plain copies of the layer, and
// every tool that knows whiteouts skips it. A sidecar is only believed if the entry's owner on disk
// is the one its ids hash to, so a crash between the two writes shows a slot, never somebody more
// privileged.
#pragma once
#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "fusefs/id_mapper.hpp"
#include "identity/owner_record.hpp"
#include "identity/sidecar.hpp"
#include "ring/at.hpp"

namespace fusefs {

struct Owner {
  Id uid = 0, gid = 0;
  friend bool operator==(const Owner&, const Owner&) = default;
};

/// Everything that a file's extended attributes tell us, read with as few calls as possible.
struct Facts {
  Owner owner;
  std::optional<identity::OverrideStat> override_stat;
  std::optional<identity::Device> device;  // that a regular file stands for
  bool opaque = false;
  bool default_acl = false;
  bool visible_xattrs = false;  // a container may see some
  bool corrupt = false;         // a record was there and not believed
  int error = 0;                // what is there can not be read just now (EIO, EMFILE, ...)
  std::string redirect;         // of a directory: where its lower versions are
};

inline constexpr std::string_view kWhiteoutPrefix = ".wh.";
inline constexpr std::string_view kMetaPrefix = ".wh..wh.";
inline constexpr std::string_view kOpaqueFile = ".wh..wh..opq";
using identity::kSidecarPrefix;
inline constexpr std::size_t kRedirectMax = 4095;  // bytes; a longer one is not read back

class OwnerStore {
 public:
  OwnerStore(const IdMapper& uids, const IdMapper& gids) : uids_(uids), gids_(gids) {}

  /// Facts of the file at `where`, whose stat is `st`. `sidecar`: one may exist (special files
  /// only).
  Facts read(const ring::at::Where& where, const struct stat& st, bool sidecar) const;

  /// Whether the layer's own owner fields can not tell `owner`.
  bool needs_record(Owner owner) const;
  /// Makes the file belong to `owner`: record first, then the owner on disk, so that a crash in
  /// between shows the new owner already. `st_mode` tells the file's type; `had_record`: an old one
  /// must be replaced.
  base::Result<> write(const ring::at::Where& where, mode_t st_mode, Owner owner,
                       bool had_record) const;
  /// Makes an empty file a record of a device: something to look at.
  base::Result<> write_device(const ring::at::Where& where, const identity::Device& device) const;
  /// Makes sure that a special file has a sidecar, needed or not: names that share an inode share
  /// it, so that a later chown by one name is seen by all.
  base::Result<> ensure_sidecar(const ring::at::Where& where, Owner owner) const;
  /// The owner fields that the file of `owner` has on disk.
  Owner on_disk(Owner owner) const { return {uids_.disk(owner.uid), gids_.disk(owner.gid)}; }

  /// The sidecar's name for an entry; long names are hashed to stay within NAME_MAX.
  static std::string sidecar_name(std::string_view entry) { return identity::sidecar_name(entry); }
  static bool is_special(mode_t mode) { return !S_ISREG(mode) && !S_ISDIR(mode); }

 private:
  void read_record(const ring::at::Where& where, const std::string& names, Facts& facts) const;
  void read_sidecar(const ring::at::Where& where, const struct stat& st, Facts& facts) const;
  base::Result<> write_sidecar(const ring::at::Where& where, Owner owner) const;
  const IdMapper& uids_;
  const IdMapper& gids_;
};

}  // namespace fusefs
