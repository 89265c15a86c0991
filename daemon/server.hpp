// Owns: the reactor and every mount it serves. Called by: cli/mount_program, the daemon verb and
// what hangs on it (control, status, recovery). Never: assumes that there is one mount.
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "config/mount_options.hpp"
#include "daemon/identities.hpp"
#include "daemon/reload.hpp"
#include "daemon/served.hpp"
#include "daemon/totals.hpp"
#include "fusefs/device_wishes.hpp"
#include "fusefs/session.hpp"
#include "ring/reactor.hpp"
#include "ring/timer.hpp"

namespace serving {

class Recovery;
class Supervision;

/// What makes a mount outlive the daemon: its number, and what is written down of it.
struct Lasting {
  std::uint64_t id = 0;  // 0: the next
  std::unique_ptr<fusefs::Ledger> ledger = nullptr;
};

class Server {
 public:
  static base::Checked<std::unique_ptr<Server>> make(const config::Config& config);

  ~Server();

  /// Opens the layers, mounts, and serves from run() on. `on_ready`: INIT is answered.
  base::Checked<base::Unit> add(const config::MountOptions& options, const std::string& subtype,
                                std::function<void()> on_ready);
  /// Serves a mount that somebody else has made. `hooks.on_end` comes before on_gone, and must not
  /// end the mount itself.
  Served& serve(MountRequest request, base::Fd device, std::unique_ptr<fusefs::Overlay> overlay,
                fusefs::Session::Hooks hooks, Lasting lasting = {});
  /// The number that a mount will have.
  std::uint64_t next_id() { return ++last_id_; }
  /// Numbers up to this one were given by daemons before.
  void number_from(std::uint64_t id) { last_id_ = std::max(last_id_, id); }
  /// Lets go of a mount that could not be taken over; on_gone is not told.
  void discard(std::uint64_t id);
  /// Who keeps what a successor needs; nullptr: nobody.
  Recovery* recovery = nullptr;
  /// Who answers the calls of containers; nullptr: nobody, in a process that serves one mount.
  Supervision* supervision = nullptr;
  /// Serves until stop(). Without on_gone that comes with the end of the last mount.
  void run();
  void stop();

  /// The number of a mount that has just ended. Whoever sets it decides when to stop.
  std::function<void(std::uint64_t)> on_gone;
  /// True: it has dealt with that signal (TERM, INT, HUP). Otherwise all mounts are taken away.
  std::function<bool(int)> on_signal_number;

  ring::Reactor& reactor() { return *reactor_; }
  /// The settings in force.
  const config::Config& config() const { return config_; }
  /// Takes what may change while mounts are served.
  Reloaded reload(const config::Config& wanted);
  Identities& identities() { return ids_; }
  const std::list<std::unique_ptr<Served>>& mounts() const { return mounts_; }
  /// What is known of mounts that are gone, and of daemons before this one.
  Totals& totals() { return totals_; }
  /// Of device nodes, for all mounts.
  fusefs::DeviceWishes& wishes() { return wishes_; }
  /// Nothing if there is no mount of that number (any more).
  Served* find(std::uint64_t id);

 private:
  Server(std::unique_ptr<ring::Reactor> reactor, Identities ids, config::Config config);
  base::Checked<base::Unit> catch_signals();
  void on_signal();
  void unmount_all();
  void gone(Served* served, int error);
  void give_back_later();

  std::unique_ptr<ring::Reactor> reactor_;
  Identities ids_;
  config::Config config_;
  base::Fd signals_;
  ring::Watch signal_watch_;
  ring::Timer trim_;
  fusefs::DeviceWishes wishes_;
  std::list<std::unique_ptr<Served>> mounts_;
  Totals totals_;
  std::uint64_t last_id_ = 0;
  bool leaving_ = false;
};

}  // namespace serving
