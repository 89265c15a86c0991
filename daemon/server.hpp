// Owns: the reactor and every mount it serves; the only place which knows config and fusefs both.
// Called by: cli/mount_program. Never: assumes that there is one mount.
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "config/mount_options.hpp"
#include "daemon/mount.hpp"
#include "daemon/reload.hpp"
#include "fusefs/session.hpp"
#include "identity/live_slots.hpp"
#include "ring/reactor.hpp"

namespace serving {

/// The ids of the namespace we serve and what they are given to. Shared by all mounts.
struct Identities {
  identity::Pool uids, gids;
  std::shared_ptr<identity::LiveSlots> uid_slots, gid_slots;  // shared with other processes
  /// From /proc/self/uid_map and gid_map.
  static base::Checked<Identities> of_this_process(const config::Config& config);
};

class Server {
 public:
  static base::Checked<std::unique_ptr<Server>> make(const config::Config& config);

  ~Server();

  /// Opens the layers, mounts, and serves from run() on. `on_ready`: INIT is answered.
  base::Checked<base::Unit> add(const config::MountOptions& options, const std::string& subtype,
                                std::function<void()> on_ready);
  /// Serves until the last mount is gone, or a signal (TERM, INT, HUP) has taken all mounts away.
  void run();
  ring::Reactor& reactor() { return *reactor_; }
  /// The settings in force.
  const config::Config& config() const { return config_; }
  /// Takes what may change while mounts are served.
  Reloaded reload(const config::Config& wanted);

 private:
  struct Served;
  Server(std::unique_ptr<ring::Reactor> reactor, Identities ids, const config::Config& config);
  base::Checked<base::Unit> catch_signals();
  void on_signal();
  void unmount_all();
  void gone(Served* served, int error);
  void report() const;

  std::unique_ptr<ring::Reactor> reactor_;
  Identities ids_;
  config::Config config_;
  base::Fd signals_;
  ring::Watch signal_watch_;
  std::list<std::unique_ptr<Served>> mounts_;
  bool leaving_ = false;
};

}  // namespace serving
