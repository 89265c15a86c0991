#include "daemon/client.hpp"

#include <dirent.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstring>
#include <memory>
#include <vector>

#include "base/io.hpp"
#include "base/unix_socket.hpp"

namespace serving {
namespace {

Hello parse_hello(const Json& result) {
  Hello hello;
  hello.protocol = number_of(result, "protocol").value_or(0);
  hello.version = text_of(result, "version");
  hello.pid = static_cast<pid_t>(number_of(result, "pid").value_or(0));
  hello.maps = {text_of(result, "uid_map"), text_of(result, "gid_map")};
  hello.user_namespace = number_of(result, "user_namespace").value_or(0);
  hello.service = flag_of(result, "service");
  hello.supervises = flag_of(result, "supervises");
  hello.seccomp = text_of(result, "seccomp");
  hello.identity = result.value("identity", Json::object());
  return hello;
}

void set_patience(const base::Fd& socket, int seconds) {
  timeval wait{seconds, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
}

}  // namespace

base::Checked<base::Fd> connect_to(const std::string& path, int flags) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return base::refuse(path + ": longer than the 107 bytes that a socket's path may have");
  std::memcpy(address.sun_path, path.c_str(), path.size());
  base::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!socket.valid() ||
      ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return base::refuse_errno(path);
  return socket;
}

bool somebody_listens(const std::string& path) {
  return connect_to(path).has_value();
}

base::Checked<Client> Client::connect(const std::string& path) {
  TRY(socket, connect_to(path));
  Client client(std::move(socket), path);
  TRY(result, client.call({{"verb", "hello"}}, {}, 10));
  client.hello_ = parse_hello(result);
  if (client.hello_.protocol != kProtocol)
    return base::refuse(path + ": its daemon speaks version " +
                        std::to_string(client.hello_.protocol) + " of the protocol, this program " +
                        std::to_string(kProtocol) + ": restart the daemon");
  return client;
}

base::Checked<Json> Client::call(Json request, std::span<const int> fds, int seconds) {
  request["v"] = kProtocol;
  set_patience(socket_, seconds);
  std::string line = request_line(request);
  if (line.size() > kRequestLimit) return base::refuse("a request longer than 256 kB");
  // A daemon that turns us away says why before it closes: what it has sent is still to be read.
  auto sent = send(line, fds);
  auto answer = receive();
  if (!answer) return base::refuse(sent ? answer.error().message : sent.error().message);
  return parse_answer(*answer);
}

// Descriptors come with bytes of the line, before its end: the kernel takes 253 with a message.
base::Checked<base::Unit> Client::send(std::string_view line, std::span<const int> fds) {
  while (!line.empty()) {
    std::span<const int> now = fds.first(std::min(fds.size(), base::kMostFdsAtOnce));
    std::string_view bytes = now.empty() ? line : line.substr(0, 1);
    auto put = base::send_with_fds(socket_.get(), bytes, now, 0);
    if (!put) return base::refuse(path_ + ": send: " + std::strerror(put.error().value));
    line.remove_prefix(*put);
    fds = fds.subspan(now.size());
  }
  return base::Unit{};
}

base::Checked<std::string> Client::receive() {
  for (;;) {
    if (auto line = lines_.take()) return *line;
    if (lines_.too_long()) return base::refuse(path_ + ": an answer without end");
    char bytes[65536];
    ssize_t got = ::recv(socket_.get(), bytes, sizeof bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN)
      return base::refuse(path_ + ": the daemon does not answer (see its log)");
    if (got < 0) return base::refuse_errno(path_);
    if (got == 0) return base::refuse(path_ + ": the daemon has closed the connection");
    lines_.add({bytes, static_cast<std::size_t>(got)});
  }
}

bool Client::wait_for_end(int seconds) {
  set_patience(socket_, seconds);
  char byte;
  ssize_t got;
  do got = ::recv(socket_.get(), &byte, 1, 0);
  while (got > 0 || (got < 0 && errno == EINTR));
  return got == 0 || errno != EAGAIN;
}

std::vector<std::string> socket_names() {
  std::string dir = runtime_dir();
  std::vector<std::string> found;
  std::unique_ptr<DIR, int (*)(DIR*)> listing(dir.empty() ? nullptr : ::opendir(dir.c_str()),
                                              ::closedir);
  while (const dirent* entry = listing ? ::readdir(listing.get()) : nullptr) {
    std::string name = entry->d_name;
    if (name == service_socket() || (name.starts_with("ns-") && name.ends_with(".sock")))
      found.push_back(dir + "/" + name);
  }
  return found;
}

std::string find_socket(const config::Config& config) {
  if (!config.daemon.socket.empty()) return config.daemon.socket;
  std::string dir = runtime_dir();
  if (dir.empty()) return {};
  std::string known[] = {service_socket(), namespace_socket(IdMaps::of_this_process())};
  for (const std::string& name : known)
    if (somebody_listens(dir + "/" + name)) return dir + "/" + name;
  std::vector<std::string> others;
  for (std::string& path : socket_names())
    if (somebody_listens(path)) others.push_back(std::move(path));
  return others.size() == 1 ? others.front() : std::string();
}

}  // namespace serving
