// Owns: a mount from the caller's side: it opens the layers, mounts, hands all over to a daemon and
// waits until that serves. Called by: cli/mount_program. Never: leaves a mount behind that nobody
// serves.
#pragma once
#include <span>
#include <string>

#include "base/result.hpp"
#include "config/mount_options.hpp"

namespace serving {

/// One start of the mount_program. `options` is what `arguments` say on top of `config`.
struct MountCall {
  std::string program;  // argv[0] without its folder: the subtype of the mount
  std::span<const char* const> arguments;
  const config::Config& config;
  const config::MountOptions& options;
};

/// True: a daemon serves the mount. False: it must have a process of its own, and nothing has been
/// done yet. A daemon that cannot be used is an error which says what to do.
base::Checked<bool> mount_by_daemon(const MountCall& call);

}  // namespace serving
