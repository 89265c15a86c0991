// Owns: the other end of a control socket, with no manners. Called by: the tests that attack it.
// Never: waits for ever: what does not come within seconds is a failure.
#pragma once
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/unix_socket.hpp"

namespace daemon_test {

class Peer {
 public:
  explicit Peer(const std::string& path)
      : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    connected_ =
        ::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    timeval patience{10, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  bool connected() const { return connected_; }
  int fd() const { return socket_.get(); }
  /// Bytes, with descriptors at the first of them. False: nobody takes them.
  bool send(std::string_view bytes, std::span<const int> fds = {}) {
    for (; !bytes.empty(); fds = {}) {
      auto put = base::send_with_fds(socket_.get(), bytes, fds, 0);
      if (!put) return false;
      bytes.remove_prefix(*put);
    }
    return true;
  }
  /// Until the daemon closes: all that it said.
  std::string rest() {
    std::string all;
    char bytes[4096];
    for (ssize_t got; (got = ::recv(socket_.get(), bytes, sizeof bytes, 0)) > 0;)
      all.append(bytes, static_cast<std::size_t>(got));
    return all;
  }
  /// One answer without its end, or "<closed>".
  std::string line() {
    std::string text;
    char c;
    while (::recv(socket_.get(), &c, 1, 0) == 1) {
      if (c == '\n') return text;
      text += c;
    }
    return "<closed>";
  }

 private:
  base::Fd socket_;
  bool connected_ = false;
};

}  // namespace daemon_test
