// Owns: a daemon's life: what it listens on, what it tells its manager, when it leaves and how.
// Called by: the daemon verb; the verbs stop, drain and restart. Never: serves a request itself;
// that is the Server's, and the control socket's.
#pragma once
#include <memory>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "config/config.hpp"
#include "daemon/control.hpp"
#include "daemon/detach.hpp"
#include "daemon/keeper.hpp"
#include "daemon/metrics_file.hpp"
#include "daemon/recovery.hpp"
#include "daemon/server.hpp"
#include "daemon/supervision.hpp"

namespace serving {

struct ServiceOptions {
  config::Config config;
  std::string socket;      // where to listen, unless that was inherited
  bool held = false;       // the keeper is our own holder: to be told to stop is meant so
  bool autostart = false;  // a mount has started us: leave when there is nothing to do
  bool person = false;     // a user's service, not the daemon of one namespace
  /// Reads the settings again, for SIGHUP; not set where the files cannot be seen any more.
  std::function<base::Checked<config::Config>()> read_settings;
};

class Service {
 public:
  static base::Checked<std::unique_ptr<Service>> make(ServiceOptions options, Keeper keeper);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  /// Serves until it is time to leave; the exit code.
  int run();

  Server& server() { return *server_; }
  Keeper& keeper() { return keeper_; }
  Control& control() { return *control_; }

  /// After a mount or a listener has come or gone: the manager is told, and without any it may be
  /// time to leave.
  void count_mounts();
  /// Takes all mounts out of the mount namespaces that we can reach, and leaves when nobody uses
  /// them any more and no container is supervised: after some seconds in any case, at once if
  /// `now`.
  void stop(bool now);
  /// Takes no new mounts and containers, and leaves after the last one.
  void drain();
  /// Whether the manager is a holder of ours.
  bool held() const { return options_.held; }
  bool draining() const { return draining_; }
  /// Leaves, to be started again; `successor`: to the holder of a newer build, if it is valid.
  base::Checked<base::Unit> restart(base::Fd successor);

 private:
  Service(ServiceOptions options, Keeper keeper);
  void keep_slot_journals();
  void supervise();
  bool idle() const;
  base::Checked<Listening> listen();
  bool on_signal(int number);
  void reload();
  void tick();
  void consider_leaving();
  void leave(int code);

  ServiceOptions options_;
  std::unique_ptr<Server> server_;
  Keeper keeper_;
  std::unique_ptr<Recovery> recovery_;
  std::unique_ptr<Supervision> supervision_;
  std::unique_ptr<Control> control_;
  std::unique_ptr<MetricsFile> metrics_file_;
  ring::Timer watchdog_, idle_, grace_;
  Detacher detacher_;
  bool draining_ = false;
  bool stopping_ = false;
};

}  // namespace serving
