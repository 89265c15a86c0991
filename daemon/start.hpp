// Owns: finding the daemon of this user namespace, and starting one where there is none. Called by:
// join, cli (for a supervisor). Never: leaves two daemons:
// who starts one holds a lock until it listens.
#pragma once
#include <optional>
#include <string>

#include "base/result.hpp"
#include "config/config.hpp"
#include "daemon/client.hpp"

namespace serving {

/// True when somebody listens at `path`, whoever started it. False: this program is no daemon. The
/// message of a refusal is the daemon's own if it has said anything.
base::Checked<bool> start_daemon(const std::string& path);

/// The daemon to ask, if there is to be one. The service's, when it serves the same ids; else the
/// one of this namespace, which is started if need be and allowed (daemon.autostart). Nothing: none
/// listens. An error: one listens, or should, that can not be used.
base::Checked<std::optional<Client>> find_daemon(const config::Config& config);

}  // namespace serving
