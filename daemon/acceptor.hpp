// Owns: a listening socket of ours and those who have connected to it: our own user's processes, so
// many at most. Called by: daemon/control, daemon/state_socket. Never: blocks the reactor, or
// forgets somebody who waits because descriptors were short.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "base/fd.hpp"
#include "daemon/runtime_dir.hpp"
#include "ring/reactor.hpp"
#include "ring/timer.hpp"

namespace serving {

/// One who has connected.
class Guest {
 public:
  virtual ~Guest() = default;
  /// Ends it if it keeps us waiting at this second (base::monotonic_seconds). `crowded`: others
  /// wait for its place.
  virtual void check_patience(std::uint64_t now, bool crowded) = 0;
};

class Acceptor {
 public:
  /// Of our own user; `process` is who has connected.
  using Admit = std::function<std::shared_ptr<Guest>(base::Fd socket, pid_t process)>;
  /// A process of another user, or one that can not be known.
  using TurnAway = std::function<void(base::Fd socket)>;

  Acceptor(ring::Reactor& reactor, Listening listening, Admit admit, TurnAway turn_away);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  const Listening& listening() const { return listening_; }
  std::size_t guests() const { return guests_.size(); }
  /// Whether somebody has connected whom we have not looked at yet.
  bool somebody_knocks() const;
  /// Takes the socket's file away: who comes from now on finds nobody and need not wait.
  void close_socket();
  /// Its place is free. Not for a guest to call from within its watch.
  void forget(Guest* guest);

 private:
  void accept();
  void admit(base::Fd socket);
  void sweep();
  void sweep_after(std::uint32_t milliseconds);

  ring::Reactor& reactor_;
  Listening listening_;
  Admit admit_;
  TurnAway turn_away_;
  ring::Watch watch_;
  ring::Timer sweep_;
  std::map<Guest*, std::shared_ptr<Guest>> guests_;
};

}  // namespace serving
