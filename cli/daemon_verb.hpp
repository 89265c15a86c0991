// Owns: how a daemon process comes to be: from the service manager, from a terminal, from a mount.
// Called by: the verbs daemon and restart, mount_program (which starts `daemon --autostart` by its
// own program file). Never: serves; serving::Service does.
#pragma once
#include <string>

#include "cli/verbs.hpp"
#include "config/config.hpp"
#include "daemon/client.hpp"
#include "daemon/keeper.hpp"

namespace cli {

struct DaemonStart {
  config::Config config;
  std::string socket;       // "": from the settings, else the service's or the namespace's
  bool background = false;  // come back when it serves
  bool autostart = false;   // a mount starts it: leave when idle, serve this namespace only
  /// An upgrade: what the daemon before us had, and the socket of its holder.
  serving::NamedFds kept;
  base::Fd predecessor;
  /// Reads the settings again.
  std::function<base::Checked<config::Config>()> read_settings;
};

/// The exit code, when it serves (`background`) or has served.
int start_daemon(DaemonStart start);

/// Lets a daemon of this build take over from a running one. False: it cannot be done from here
/// (another namespace, or a service manager does it); then the daemon has been asked to start again
/// as it is, if `asked`.
struct Succession {
  bool done = false, asked = false;
};
base::Checked<Succession> succeed(serving::Client& old, const config::Config& config);

/// Row of the table of verbs.
Action prepare_daemon(CLI::App& options);

}  // namespace cli
