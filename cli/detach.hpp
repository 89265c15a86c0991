// Owns: taking our mounts out of other processes' mount namespaces. Called by: `stop`. Never: part
// of the daemon, which may be in a namespace that has no say there; a user at a terminal has.
#pragma once
#include <string>
#include <vector>

namespace cli {

struct Detached {
  std::size_t mounts = 0;
  std::vector<std::string> failed;  // a sentence each
};
/// Detaches (umount2(2), MNT_DETACH) the FUSE mounts of these devices ("0:57") in every mount
/// namespace that a process of this user is in: its own, podman's pause process', a container's.
Detached detach_everywhere(const std::vector<std::string>& devices);

}  // namespace cli
