// Owns: messages on Unix sockets and the descriptors that come with them (unix(7)); who is at the
// other end. Called by: daemon, tests. Never: waits, unless the socket does; leaves a descriptor
// open that it could not hand on.
#pragma once
#include <sys/socket.h>

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace base {

/// To send with one message; the kernel's own limit (SCM_MAX_FD) is 253.
inline constexpr std::size_t kMostFdsAtOnce = 250;

struct Received {
  std::size_t size = 0;   // bytes; 0: the other end is closed
  bool lost_fds = false;  // some were sent that we could not get: too many are open
};
/// One recvmsg(2), made again after a signal. What came with it is added to `fds`, whatever else is
/// wrong. EAGAIN: nothing is there, and the socket or `flags` do not wait.
Result<Received> receive_with_fds(int socket, std::span<char> bytes, std::vector<Fd>& fds,
                                  int flags);

/// One sendmsg(2), made again after a signal: how many of the bytes went; the descriptors go
/// with the first. EINVAL: more of them than a message takes.
Result<std::size_t> send_with_fds(int socket, std::string_view bytes, std::span<const int> fds,
                                  int flags);

/// Every message that lies in `socket` (one that keeps messages apart), the oldest first, without
/// taking it out. What does not fit into `bytes` is cut off.
void peek_with_fds(int socket, std::span<char> bytes,
                   const std::function<void(std::string_view text, std::vector<Fd> fds)>& each);

/// Who made the socket at the other end (SO_PEERCRED).
Result<ucred> peer_of(int socket);

}  // namespace base
