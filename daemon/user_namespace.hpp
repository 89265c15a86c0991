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
/// says what was done, for the log. `other`: a process to be joined where podman has none, 0: none.
base::Checked<std::string> enter_user_namespace(pid_t other = 0);

/// The process that holds podman's user namespace of this user, or nothing: the file
/// $XDG_RUNTIME_DIR/libpod/tmp/pause.pid must be ours, the process as well, and its namespace too.
/// The result is a descriptor of that namespace.
base::Checked<base::Fd> open_pause_namespace();
/// The user namespace of a process, which has to belong to us.
base::Checked<base::Fd> open_namespace_of(pid_t pid);

/// Its namespaces of users and of mounts, checked as above.
struct PauseProcess {
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
