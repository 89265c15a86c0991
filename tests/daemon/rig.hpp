// Owns: a daemon in a process of its own, with a control socket in a private directory. Called by:
// the tests of tests/daemon. Never: outlives a test.
#pragma once
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "daemon/client.hpp"
#include "daemon/control.hpp"
#include "daemon/server.hpp"

namespace daemon_test {

class Daemon {
 public:
  Daemon() {
    root_ = "/var/tmp/uni-control.XXXXXX";
    if (::mkdtemp(root_.data()) == nullptr) std::abort();
    std::filesystem::create_directory(root_ + "/usernetes-identity");
    std::filesystem::permissions(root_ + "/usernetes-identity", std::filesystem::perms::owner_all);
    pid_ = ::fork();
    if (pid_ == 0) serve();
    for (int tries = 0; tries < 1000 && !serving::somebody_listens(socket()); ++tries)
      ::usleep(5000);
  }
  ~Daemon() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  const std::string& root() const { return root_; }
  /// With XDG_RUNTIME_DIR = root() a mount here finds it.
  std::string socket() const {
    return root_ + "/usernetes-identity/" +
           serving::namespace_socket(serving::IdMaps::of_this_process());
  }
  pid_t pid() const { return pid_; }
  /// Descriptors that it has open.
  std::size_t descriptors() const {
    auto all = std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }
  /// The same, when it has not changed for a moment: what was closed is let go a little later.
  std::size_t settled_descriptors() const {
    std::size_t last = 0;
    for (int i = 0; i < 200; ++i) {
      std::size_t now = descriptors();
      if (now == last && i > 5) break;
      last = now;
      ::usleep(10000);
    }
    return last;
  }

 private:
  [[noreturn]] void serve() {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::setenv("XDG_RUNTIME_DIR", root_.c_str(), 1);
    auto server = serving::Server::make(config::Config{});
    auto listening = serving::listen_at(socket());
    if (!server || !listening) ::_exit(9);
    serving::Control control(**server, std::move(*listening), false);
    (*server)->on_gone = [](std::uint64_t) {};
    (*server)->run();
    ::_exit(0);
  }
  std::string root_;
  pid_t pid_ = -1;
};

}  // namespace daemon_test
