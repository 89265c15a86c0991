// Owns: one connection to a daemon's control socket, from the caller's side. Called by: the
// mount_program and the verbs of cli/. Never: part of the daemon: its calls wait.
#pragma once
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "config/config.hpp"
#include "daemon/protocol.hpp"
#include "daemon/runtime_dir.hpp"

namespace serving {

/// What the daemon says of itself.
struct Hello {
  std::uint64_t protocol = 0;
  std::string version;
  pid_t pid = -1;
  IdMaps maps;
  std::uint64_t user_namespace = 0;  // inode; 0: not said
  bool service = false;
  bool supervises = false;  // knows the verb supervise
  std::string seccomp;      // its socket for OCI runtimes; empty: none
  Json identity;            // its identity.* settings
};

class Client {
 public:
  /// Connects and says hello. The message names the socket and what is wrong with it.
  static base::Checked<Client> connect(const std::string& path);

  const Hello& hello() const { return hello_; }
  const std::string& path() const { return path_; }
  /// Sends one request ("v" is added) with descriptors and waits for its result, at most `seconds`.
  base::Checked<Json> call(Json request, std::span<const int> fds = {}, int seconds = 30);
  /// Whether the daemon closes the connection, as it does when it ends, within `seconds`.
  bool wait_for_end(int seconds);

 private:
  Client(base::Fd socket, std::string path) : socket_(std::move(socket)), path_(std::move(path)) {}
  base::Checked<base::Unit> send(std::string_view line, std::span<const int> fds);
  base::Checked<std::string> receive();
  base::Fd socket_;
  std::string path_;
  Hello hello_;
  LineBuffer lines_{kAnswerLimit};
};

/// Whether connections are accepted there, be it by nobody yet (a service manager may listen) or by
/// a daemon that hangs.
bool somebody_listens(const std::string& path);
/// The control sockets in the runtime directory, whether somebody listens or not.
std::vector<std::string> socket_names();
/// Connected; `flags`: SOCK_NONBLOCK, or 0.
base::Checked<base::Fd> connect_to(const std::string& path, int flags = 0);
/// Of the daemon that a person at a terminal means: daemon.socket if set, else the service's, else
/// the one of this namespace, else the only other one. "" when nobody listens anywhere.
std::string find_socket(const config::Config& config);

}  // namespace serving
