// Owns: where a file lies, said so that processes with different roots and mounts mean the same by
// it: the file system and the path within it. An engine unpacks a layer in a child that has made
// the layer its root, so no path of the child's tells whether it is in a store. Called by:
// on_engine. Never: waits: mountinfo and /proc/self/fd ask no file system.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"

namespace seccomp {

/// A whole line of /proc/PID/mountinfo (proc(5)), its paths as they are.
struct MountLine {
  std::string device;  // major:minor
  std::string root;    // of the file system, what is mounted
  std::string point;   // as the process names it
  std::string type;
};
/// The line of mount `id`; nothing: there is none, or it is not well formed.
std::optional<MountLine> find_mount(std::string_view mountinfo, std::uint64_t id);

struct Place {
  std::string device, path;
  bool within(const Place& directory) const;
};

class StorePlaces {
 public:
  /// Of an O_PATH descriptor that came from `tid`; `other` is asked where the thread does not see
  /// its own mounts, as after chroot(2). Nothing: it can not be told, or it is a FUSE mount.
  std::optional<Place> place(const base::Fd& file, pid_t tid, pid_t other);
  void add(Place store) { stores_.push_back(std::move(store)); }
  bool empty() const { return stores_.empty(); }
  bool contains(const Place& place) const;

 private:
  std::optional<MountLine> mount_of(const base::Fd& file, pid_t tid, pid_t other);
  std::vector<Place> stores_;
  std::map<std::uint64_t, MountLine> mounts_;  // by the number that is never given twice
};

}  // namespace seccomp
