// Owns: the namespaces of the daemon: which ids it has, and that it holds on to nobody's mounts.
// Called by: the daemon verb, before there is a ring: the kernel refuses to change namespaces to a
// process with threads, and the ring's workers are threads. Never: believes a pid file that
// somebody else could have written.
#pragma once
#include <sys/types.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace serving {

/// A plain user becomes root of podman's user namespace (that of its pause process), or of one with
/// the same map made with newuidmap and newgidmap; who is root already stays where he is. The text
/// says what was done, for the log.
base::Checked<std::string> enter_user_namespace();
/// The same with a choice that was made already: `users`, or, not valid, one with the same map.
base::Checked<std::string> enter_user_namespace(base::Fd users);

/// The user namespace of a process, which has to belong to us.
base::Checked<base::Fd> open_namespace_of(pid_t pid);

/// The process that holds podman's namespaces of this user: the file
/// $XDG_RUNTIME_DIR/libpod/tmp/pause.pid must be ours, the process as well, and its namespace too.
struct PauseProcess {
  pid_t pid = 0;
  base::Fd users, mounts;
};
base::Checked<PauseProcess> open_pause_process();
/// The calling process, which has one thread, becomes root there. Its working directory is "/".
base::Checked<base::Unit> enter_pause_process(const PauseProcess& pause);

/// A range of /etc/subuid or /etc/subgid.
struct SubIds {
  std::uint32_t first = 0, count = 0;
};
/// The ranges of `user` (name or number, as the file has it), as podman orders them: by first id.
std::vector<SubIds> sub_ids(std::string_view file, std::string_view name, std::uint32_t uid);
/// newuidmap's arguments: 0 is `own`, the ranges follow from 1 on.
std::vector<std::string> id_map_arguments(std::uint32_t own, std::span<const SubIds> ranges);

/// Into a mount namespace of its own, which has an empty root, /proc, and the directories `keep`
/// (absolute paths, missing ones are passed over) where they were. Afterwards we hold no mount of
/// those who started us.
base::Checked<base::Unit> leave_mount_namespace(std::span<const std::string> keep);

}  // namespace serving
