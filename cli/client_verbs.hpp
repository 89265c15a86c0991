// Owns: the verbs that ask a running daemon: status, mounts, metrics, log-level, reload, drain,
// stop, restart. Called by: cli/verbs. Never: starts a daemon, or changes anything by itself.
#pragma once
#include "cli/verbs.hpp"

namespace cli {

Action prepare_status(CLI::App& options);
Action prepare_mounts(CLI::App& options);
Action prepare_metrics(CLI::App& options);
Action prepare_log_level(CLI::App& options);
Action prepare_reload(CLI::App& options);
Action prepare_drain(CLI::App& options);
Action prepare_stop(CLI::App& options);
Action prepare_restart(CLI::App& options);

}  // namespace cli
