// Owns: the socket to which OCI runtimes connect with a listener (linux.seccomp.listenerPath): one
// ContainerProcessState a connection, in as many pieces as the runtime likes, descriptors with the
// first. Called by: Supervision. Never: blocks, serves a peer of another user, or keeps more of one
// than a state may have.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/log.hpp"
#include "daemon/acceptor.hpp"

namespace serving {

class StateSocket {
 public:
  /// A whole state. `peer`: the runtime's process.
  using OnState = std::function<void(std::string text, std::vector<base::Fd> fds, pid_t peer)>;

  StateSocket(ring::Reactor& reactor, Listening listening, OnState on_state);
  ~StateSocket();
  StateSocket(const StateSocket&) = delete;
  StateSocket& operator=(const StateSocket&) = delete;

  const std::string& path() const { return acceptor_.listening().path; }
  /// Takes the socket's file away.
  void close_socket() { acceptor_.close_socket(); }
  /// Somebody has connected and was not served yet.
  bool busy() const { return acceptor_.guests() > 0 || acceptor_.somebody_knocks(); }

 private:
  class Peer;
  std::shared_ptr<Guest> admit(base::Fd socket, pid_t process);
  void refuse(const std::string& why);

  ring::Reactor& reactor_;
  OnState on_state_;
  base::log::Limiter refused_{20};
  Acceptor acceptor_;
};

}  // namespace serving
