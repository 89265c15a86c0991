// Changing owner, mode and times of a node that is in the upper layer already.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "fusefs/directory_times.hpp"
#include "fusefs/overlay.hpp"

namespace fusefs {

namespace at = ring::at;

// As chown(2) does for everybody: set-id bits and file capabilities of a regular file do not
// survive. They go first, so that no moment shows the new owner with the old bits.
base::Result<> Overlay::set_owner(Node* node, Owner owner, const Caller& caller) {
  TRY(where, locate(node));
  TRY(st, stat(node));
  if (S_ISREG(st.st_mode)) TRY_VOID(drop_privileges(node, in_group(*node, caller)));
  bool special = OwnerStore::is_special(st.st_mode);
  // A record may be there although the present owner needs none: any change rewrites it.
  bool had_record = owner != Owner{node->uid, node->gid};
  // A sidecar that comes into being is no change of the directory that anybody else made.
  std::optional<DirectoryTimes> times;
  if (special && !node->gone) times.emplace(where.dir);
  auto done = owners_.write(where, st.st_mode, owner, had_record);
  if (!done && (uids_.squashed() || gids_.squashed())) done = base::Unit{};
  if (!done) return done;
  if (special && !node->gone && (had_record || owners_.needs_record(owner)))
    note_sidecar(node->name.parent);
  node->uid = owner.uid;
  node->gid = owner.gid;
  return base::Unit{};
}

// In an upper that another program has written, an override goes on to tell the mode: what chmod(2)
// did to the file below it would not be seen, a set-id bit taken away would stay.
base::Result<> Overlay::write_override(const Node& node, const at::Where& where, mode_t mode) {
  identity::OverrideStat over{.uid = node.uid, .gid = node.gid, .mode = mode};
  if (node.type != identity::NodeType::file && node.type != identity::NodeType::dir) {
    over.type = node.type;
    over.major = major(node.rdev);
    over.minor = minor(node.rdev);
  }
  std::string key(identity::kOverrideXattrs[0]);
  return at::set_xattr(where, key.c_str(), identity::format_override_stat(over));
}

base::Result<> Overlay::set_mode(Node* node, mode_t mode) {
  TRY(where, locate(node));
  if (node->has_override) {
    TRY_VOID(write_override(*node, where, mode & 07777));
    node->override_mode = mode & 07777;
  } else {
    TRY_VOID(at::chmod(where, mode & 07777));
  }
  if (node->is_dir()) node->setgid_dir = mode & S_ISGID;
  return base::Unit{};
}

base::Result<> Overlay::set_times(Node* node, const timespec times[2]) {
  TRY(where, locate(node));
  return at::set_times(where, times);
}

bool Overlay::in_group(const Node& node, const Caller& caller) const {
  if (caller.privileged || caller.owner.gid == node.gid) return true;
  if (caller.pid <= 0) return false;
  // The request names no supplementary groups. Asked only for files with set-group-id.
  std::ifstream status("/proc/" + std::to_string(caller.pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("Groups:")) continue;
    std::istringstream groups(line.substr(7));
    for (Id group; groups >> group;)
      if (gids_.truth(group) == node.gid) return true;
  }
  return false;
}

base::Result<> Overlay::drop_privileges(Node* node, bool keep_lock_bit) {
  TRY(where, locate(node));
  TRY(raw, stat(node));
  struct stat st = present(*node, raw);
  if (!S_ISREG(st.st_mode)) return base::Unit{};
  mode_t mode = st.st_mode & 07777 & ~static_cast<mode_t>(S_ISUID);
  if (!keep_lock_bit || mode & S_IXGRP) mode &= ~static_cast<mode_t>(S_ISGID);
  if (mode != (st.st_mode & 07777)) TRY_VOID(set_mode(node, mode));
  if (node->no_xattrs) return base::Unit{};
  auto removed = at::remove_xattr(where, "security.capability");
  if (!removed && removed.error().value != ENODATA && removed.error().value != EOPNOTSUPP)
    return removed;
  return base::Unit{};
}

}  // namespace fusefs
