#include "daemon/acceptor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "base/unix_socket.hpp"

namespace serving {
namespace {

constexpr std::size_t kMostGuests = 256;
constexpr int kAcceptsInARow = 64;
constexpr std::uint32_t kSweepMilliseconds = 5000, kFdsMilliseconds = 100;

}  // namespace

Acceptor::Acceptor(ring::Reactor& reactor, Listening listening, Admit admit, TurnAway turn_away)
    : reactor_(reactor),
      listening_(std::move(listening)),
      admit_(std::move(admit)),
      turn_away_(std::move(turn_away)) {
  int socket = listening_.socket.get();
  ::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) | O_NONBLOCK);
  watch_ = reactor_.watch(socket, POLLIN, [this](int) { accept(); });
}

// Who does not find a place waits in the backlog until forget() makes one.
void Acceptor::accept() {
  for (int n = 0; guests_.size() < kMostGuests; ++n) {
    if (n == kAcceptsInARow) return reactor_.defer([this] { accept(); });
    base::Fd socket(
        ::accept4(listening_.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket.valid()) {
      admit(std::move(socket));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      // The edge has passed: without another look who waits would wait for the next one to come.
      return sweep_after(kFdsMilliseconds);
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

void Acceptor::admit(base::Fd socket) {
  auto peer = base::peer_of(socket.get());
  if (!peer || peer->uid != ::geteuid()) return turn_away_(std::move(socket));
  auto guest = admit_(std::move(socket), peer->pid);
  if (guests_.empty()) sweep_after(kSweepMilliseconds);
  guests_.emplace(guest.get(), guest);
}

bool Acceptor::somebody_knocks() const {
  pollfd one{listening_.socket.get(), POLLIN, 0};
  return ::poll(&one, 1, 0) > 0;
}

void Acceptor::close_socket() {
  watch_ = {};
  if (!listening_.path.empty()) ::unlink(listening_.path.c_str());
}

void Acceptor::forget(Guest* guest) {
  guests_.erase(guest);
  reactor_.defer([this] { accept(); });
}

void Acceptor::sweep_after(std::uint32_t milliseconds) {
  sweep_ = reactor_.after(milliseconds, [this] { sweep(); });
}

void Acceptor::sweep() {
  const std::uint64_t now = base::monotonic_seconds();
  const bool crowded = guests_.size() >= kMostGuests;
  for (auto& [key, guest] : guests_) guest->check_patience(now, crowded);
  accept();
  if (!guests_.empty()) sweep_after(kSweepMilliseconds);
}

}  // namespace serving
