// Owns: finding the daemon of this user namespace, and starting one where there is none. Called by:
// join, cli (for a supervisor). Never: leaves two daemons for the same: who starts one holds a lock
// until it listens.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "config/config.hpp"
#include "daemon/client.hpp"

namespace serving {

/// True when somebody listens at `path`, whoever started it. False: this program is no daemon. The
/// message of a refusal is the daemon's own if it has said anything.
base::Checked<bool> start_daemon(const std::string& path);

/// What a daemon is asked for. Files: it must have the same ids. To supervise processes it must be
/// in their very namespace besides: to others, be their maps the same, the kernel gives it no
/// right.
enum class Purpose : std::uint8_t { files, processes };

/// The daemon to ask, if there is to be one: the service's, else the one for these ids, else, where
/// that is in another namespace, one of this namespace alone. The last two are started if need be
/// and allowed (daemon.autostart). Nothing: none listens. An error: one listens, or should, that
/// can not be used.
base::Checked<std::optional<Client>> find_daemon(const config::Config& config, Purpose purpose);

}  // namespace serving
