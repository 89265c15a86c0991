#include "base/unix_socket.hpp"

#include <array>
#include <cstring>

namespace base {
namespace {

constexpr std::size_t kMostFds = 253;  // SCM_MAX_FD

// The descriptors of one message, as the kernel writes and reads them.
struct Control {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostFds * sizeof(int))> bytes{};
};

msghdr message_of(iovec& part, Control& control, std::size_t size) {
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = size;
  return message;
}

}  // namespace

Result<Received> receive_with_fds(int socket, std::span<char> bytes, std::vector<Fd>& fds,
                                  int flags) {
  Control control;
  iovec part{bytes.data(), bytes.size()};
  msghdr message = message_of(part, control, control.bytes.size());
  ssize_t got;
  do got = ::recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0) return fail_errno();
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int raw;
      std::memcpy(&raw, CMSG_DATA(header) + i * sizeof raw, sizeof raw);
      fds.emplace_back(raw);
    }
  }
  return Received{static_cast<std::size_t>(got), (message.msg_flags & MSG_CTRUNC) != 0};
}

Result<std::size_t> send_with_fds(int socket, std::string_view bytes, std::span<const int> fds,
                                  int flags) {
  if (fds.size() > kMostFds) return fail(EINVAL);  // as the kernel would say
  Control control;
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message = message_of(part, control, fds.empty() ? 0 : CMSG_SPACE(fds.size_bytes()));
  if (!fds.empty()) {
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t put;
  do put = ::sendmsg(socket, &message, flags | MSG_NOSIGNAL);
  while (put < 0 && errno == EINTR);
  if (put < 0) return fail_errno();
  return static_cast<std::size_t>(put);
}

void peek_with_fds(int socket, std::span<char> bytes,
                   const std::function<void(std::string_view text, std::vector<Fd> fds)>& each) {
  int offset = 0;
  ::setsockopt(socket, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset);
  for (;;) {
    std::vector<Fd> fds;
    auto got = receive_with_fds(socket, bytes, fds, MSG_PEEK | MSG_DONTWAIT);
    if (!got || got->size == 0) return;
    each({bytes.data(), got->size}, std::move(fds));
  }
}

Result<ucred> peer_of(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  TRY_VOID(check(::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size)));
  return peer;
}

}  // namespace base
