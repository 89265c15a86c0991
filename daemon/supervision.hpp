// Owns: the supervisor inside the daemon: how listeners come (runtimes' socket, the verb
// `supervise`), and that a successor gets them. Called by: Service, the verbs, status. Never:
// counts as served what the keeper does not have yet, if there is one.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/metrics.hpp"
#include "base/result.hpp"
#include "daemon/device_desk.hpp"
#include "daemon/keeper.hpp"
#include "daemon/state_socket.hpp"
#include "seccomp/supervisor.hpp"

namespace serving {

class Server;
class StoreOwners;

/// Of containers that are gone, so that no counter falls.
struct SupervisionTotals {
  std::uint64_t containers = 0, listeners = 0;
  std::map<std::string_view, base::metrics::Histogram> calls;
  std::uint64_t virtual_answers = 0, refused = 0, gone = 0;
  void absorb(const seccomp::Container& container);
};

class Supervision {
 public:
  Supervision(Server& server, Keeper& keeper);
  ~Supervision();
  Supervision(const Supervision&) = delete;
  Supervision& operator=(const Supervision&) = delete;

  /// Before Recovery looks at what the keeper had: the listeners of the daemon before us, and the
  /// runtimes' socket.
  void take_over();
  /// Listens for runtimes beside the control socket; see state_socket_beside(). Without success
  /// containers of runtimes get no supervisor, which is logged.
  void listen_beside(const std::string& control);
  /// "" when nobody listens.
  std::string socket() const { return socket_ ? socket_->path() : std::string(); }
  void close_socket();

  /// `peer`: who has sent it, 0: not known. info.pid is only believed if it is of our pid
  /// namespace.
  base::Checked<base::Unit> add(base::Fd listener, seccomp::ContainerInfo info, pid_t peer);
  /// Whether the thread, of our pid namespace, is of an image engine whose calls we answer.
  bool is_engine(pid_t tid) const;
  std::size_t listeners() const { return supervisor_.listeners(); }
  /// A runtime is about to hand over a listener.
  bool expects_somebody() const { return socket_ && socket_->busy(); }
  seccomp::Supervisor& supervisor() { return supervisor_; }
  const seccomp::Supervisor& supervisor() const { return supervisor_; }
  /// With the containers that are there now.
  SupervisionTotals totals() const;
  /// After a listener has come or gone.
  std::function<void()> on_change;
  /// Only further listeners of containers that are known.
  bool draining = false;

 private:
  void take_state(std::string text, std::vector<base::Fd> fds, pid_t peer);
  void adopt(std::uint64_t name, base::Fd listener, base::Fd ledger);
  base::Checked<base::Unit> start(std::uint64_t name, base::Fd listener,
                                  const seccomp::ContainerInfo& info,
                                  std::unique_ptr<seccomp::NoticeLog> log,
                                  seccomp::Unfinished unfinished);
  bool knows(const std::string& id) const;
  void gone(std::uint64_t number);
  void let_go(std::uint64_t name);

  Server& server_;
  Keeper& keeper_;
  std::unique_ptr<StoreOwners> owners_;
  DeviceDesk devices_;
  seccomp::Supervisor supervisor_;
  Listening inherited_;  // the socket of the daemon before us, until listen_beside()
  std::unique_ptr<StateSocket> socket_;
  std::map<std::uint64_t, std::uint64_t> names_;  // listener -> its number with the keeper
  std::uint64_t last_name_ = 0;
  SupervisionTotals totals_;
  bool refreshing_ = false;
  std::string control_;  // our control socket
};

/// "control.sock" -> "seccomp.sock", "ns-<16 hex>.sock" -> "seccomp-<16 hex>.sock", anything else
/// -> "NAME-seccomp.sock", in the same directory.
std::string state_socket_beside(const std::string& control);

}  // namespace serving
