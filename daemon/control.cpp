#include "daemon/control.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "base/log.hpp"
#include "daemon/server.hpp"

namespace serving {
namespace {

namespace log = base::log;

constexpr std::size_t kMostConnections = 256;
constexpr int kAcceptsInARow = 64;
constexpr std::uint32_t kSweepMilliseconds = 5000;

}  // namespace

Control::Control(Server& server, Listening listening, bool service)
    : server_(server), listening_(std::move(listening)), service_(service) {
  int socket = listening_.socket.get();
  ::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) | O_NONBLOCK);
  watch_ = reactor().watch(socket, POLLIN, [this](int) { accept(); });
}

Control::~Control() = default;

ring::Reactor& Control::reactor() {
  return server_.reactor();
}

// Who does not find a place waits in the backlog until forget() makes one.
void Control::accept() {
  for (int n = 0; connections_.size() < kMostConnections; ++n) {
    if (n == kAcceptsInARow) return reactor().defer([this] { accept(); });
    base::Fd socket(
        ::accept4(listening_.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket.valid()) {
      admit(std::move(socket));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      // The edge has passed: without another look who waits would wait for the next one to come.
      sweep_ = reactor().after(100, [this] { sweep(); });
      return;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

void Control::admit(base::Fd socket) {
  ++counters_.accepted;
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
      peer.uid != ::geteuid()) {
    count(Fault::uid);
    std::string line = answer_line(base::refuse("this daemon serves its own user only"), "EPERM");
    (void)!::send(socket.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return;
  }
  auto connection = std::make_shared<Connection>(*this, std::move(socket));
  if (connections_.empty()) sweep_ = reactor().after(kSweepMilliseconds, [this] { sweep(); });
  connections_.emplace(connection.get(), connection);
  connection->start();
}

bool Control::somebody_knocks() const {
  pollfd one{listening_.socket.get(), POLLIN, 0};
  return ::poll(&one, 1, 0) > 0;
}

void Control::close_socket() {
  watch_ = {};
  if (!listening_.path.empty()) ::unlink(listening_.path.c_str());
}

void Control::forget(Connection* connection) {
  connections_.erase(connection);
  reactor().defer([this] { accept(); });
}

void Control::sweep() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  bool crowded = connections_.size() >= kMostConnections;
  for (auto& [key, connection] : connections_) connection->check_patience(now.tv_sec, crowded);
  accept();
  if (!connections_.empty()) sweep_ = reactor().after(kSweepMilliseconds, [this] { sweep(); });
}

}  // namespace serving
