// Owns: the control socket: who may connect, how many, and what was turned away. Called by: the
// daemon verb. Never: blocks the reactor, or serves a peer of another user.
#pragma once
#include <array>
#include <cstdint>
#include <memory>

#include "daemon/acceptor.hpp"
#include "daemon/connection.hpp"

namespace serving {

class Service;

class Control {
 public:
  struct Counters {
    std::uint64_t accepted = 0;
    std::array<std::uint64_t, kFaultNames.size()> faults{};
    std::uint64_t refused_mounts = 0;
  };
  /// `listening`: from listen_at(), or a socket that was inherited. `service`: a person's service,
  /// not the daemon of one namespace. Must end before the server.
  Control(Server& server, Listening listening, bool service);
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  Server& server() { return server_; }
  ring::Reactor& reactor();
  bool is_service() const { return service_; }
  const std::string& path() const { return acceptor_.listening().path; }
  /// Whose socket this is, for the verbs that end it; nullptr in tests.
  Service* life = nullptr;
  /// Whether somebody has connected whom we have not looked at yet.
  bool somebody_knocks() const { return acceptor_.somebody_knocks(); }
  /// Takes the socket's file away: who comes from now on finds nobody and need not wait.
  void close_socket() { acceptor_.close_socket(); }
  std::size_t connections() const { return acceptor_.guests(); }
  const Counters& counters() const { return counters_; }
  void count(Fault fault) { ++counters_.faults[static_cast<std::size_t>(fault)]; }
  void count_refused_mount() { ++counters_.refused_mounts; }

 private:
  friend class Connection;
  std::shared_ptr<Guest> admit(base::Fd socket, pid_t process);
  void turn_away(base::Fd socket);
  void forget(Connection* connection) { acceptor_.forget(connection); }

  Server& server_;
  bool service_;
  Counters counters_;
  Acceptor acceptor_;
};

}  // namespace serving
