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
    alignas(cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))] = {};
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(fds.size_bytes());
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(fds.size_bytes());
      std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
    }
    while (!bytes.empty()) {
      ssize_t put = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
      if (put < 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(put));
      part = {const_cast<char*>(bytes.data()), bytes.size()};
      message.msg_control = nullptr;
      message.msg_controllen = 0;
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
