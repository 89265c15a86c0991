#include "daemon/control.hpp"

#include "base/unix_socket.hpp"
#include "daemon/server.hpp"

namespace serving {

Control::Control(Server& server, Listening listening, bool service)
    : server_(server),
      service_(service),
      acceptor_(
          server.reactor(), std::move(listening),
          [this](base::Fd socket, pid_t process) { return admit(std::move(socket), process); },
          [this](base::Fd socket) { turn_away(std::move(socket)); }) {}

Control::~Control() = default;

ring::Reactor& Control::reactor() {
  return server_.reactor();
}

std::shared_ptr<Guest> Control::admit(base::Fd socket, pid_t process) {
  ++counters_.accepted;
  auto connection = std::make_shared<Connection>(*this, std::move(socket), process);
  connection->start();
  return connection;
}

void Control::turn_away(base::Fd socket) {
  ++counters_.accepted;
  count(Fault::uid);
  std::string line = answer_line(base::refuse("this daemon serves its own user only"), "EPERM");
  (void)!base::send_with_fds(socket.get(), line, {}, MSG_DONTWAIT);
}

}  // namespace serving
