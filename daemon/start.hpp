// Owns: starting a daemon for a mount that found none. Called by: join. Never: leaves two daemons:
// who starts one holds a lock until it listens.
#pragma once
#include <string>

#include "base/result.hpp"

namespace serving {

/// True when somebody listens at `path`, whoever started it. False: this program is no daemon. The
/// message of a refusal is the daemon's own if it has said anything.
base::Checked<bool> start_daemon(const std::string& path);

}  // namespace serving
