#include "daemon/server.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "base/io.hpp"
#include "base/log.hpp"
#include "daemon/status.hpp"
#include "daemon/supervision.hpp"

namespace serving {

namespace log = base::log;

Server::Server(std::unique_ptr<ring::Reactor> reactor, Identities ids, config::Config config)
    : reactor_(std::move(reactor)), ids_(std::move(ids)), config_(std::move(config)) {}
Server::~Server() = default;

base::Checked<std::unique_ptr<Server>> Server::make(const config::Config& config) {
  TRY(ids, Identities::of_this_process(config));
  TRY(reactor, ring::Reactor::make());
  reactor->set_spin(config.reactor.spin_us);
  std::unique_ptr<Server> server(new Server(std::move(reactor), std::move(ids), config));
  TRY_VOID(server->catch_signals());
  return server;
}

base::Checked<base::Unit> Server::catch_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&set, number);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signals_ = base::Fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals_.valid()) return base::refuse_errno("signalfd");
  signal_watch_ = reactor_->watch(signals_.get(), POLLIN, [this](int) { on_signal(); });
  return base::Unit{};
}

base::Checked<base::Unit> Server::add(const config::MountOptions& options,
                                      const std::string& subtype, std::function<void()> on_ready) {
  TRY(layers, fusefs::LayerFds::open(layer_paths(options)));
  TRY(overlay, make_overlay(options, std::move(layers), ids_, *reactor_));
  TRY(mount, Mount::make(options, subtype));
  MountRequest request;
  request.path = mount->path();
  request.mounted_in = fusefs::namespaces_of("self");
  request.options = options;
  base::Fd device = mount->take_device();
  Served& served = serve(std::move(request), std::move(device), std::move(overlay),
                         {std::move(on_ready), nullptr});
  served.mount = std::move(mount);
  return base::Unit{};
}

Served& Server::serve(MountRequest request, base::Fd device,
                      std::unique_ptr<fusefs::Overlay> overlay, fusefs::Session::Hooks hooks,
                      Lasting lasting) {
  auto served = std::make_unique<Served>(std::move(request));
  Served* entry = served.get();
  entry->id = lasting.id ? lasting.id : next_id();
  overlay->mounted_in = entry->request.mounted_in;
  overlay->wishes = &wishes_;
  overlay->knows_owners = [this](std::uint32_t pid) {
    return supervision != nullptr && supervision->is_engine(static_cast<pid_t>(pid));
  };
  overlay->on_corrupt = [entry](const std::string& name) { entry->log_corrupt(name); };
  auto then = std::move(hooks.on_end);
  hooks.on_end = [this, entry, then](int error) {
    if (then) then(error);
    gone(entry, error);
  };
  entry->session =
      std::make_unique<fusefs::Session>(*reactor_, std::move(device), std::move(overlay),
                                        std::move(hooks), std::move(lasting.ledger));
  mounts_.push_back(std::move(served));
  return *entry;
}

Served* Server::find(std::uint64_t id) {
  for (auto& served : mounts_)
    if (served->id == id) return served.get();
  return nullptr;
}

void Server::discard(std::uint64_t id) {
  std::erase_if(mounts_, [&](const auto& served) { return served->id == id; });
}

void Server::gone(Served* served, int error) {
  log::settle(served->corrupt, log::Level::warning, "record.corrupt",
              "path=" + log::quoted(served->request.path));
  log::line(log::Level::info, "mount.gone",
            "path=" + log::quoted(served->request.path) + " errno=" + std::to_string(error));
  std::uint64_t id = served->id;
  totals_.absorb(served->session->stats(), served->session->overlay().counters());
  std::erase_if(mounts_, [&](const auto& other) { return other.get() == served; });
  give_back_later();
  if (on_gone) on_gone(id);
  if (mounts_.empty() && !on_gone) stop();
}

// What mounts took lies scattered among what others still have: malloc alone returns none of it.
void Server::give_back_later() {
  constexpr std::uint32_t kQuietMs = 1000;
  trim_ = reactor_->after(kQuietMs, [] { ::malloc_trim(0); });
}

void Server::stop() {
  trim_ = {};
  signal_watch_ = {};
  reactor_->stop();
}

void Server::on_signal() {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGUSR1) {
      report_status(*this, nullptr);
      continue;
    }
    log::line(log::Level::info, "signal", "number=" + std::to_string(info.ssi_signo));
    if (on_signal_number && on_signal_number(static_cast<int>(info.ssi_signo))) continue;
    if (std::exchange(leaving_, true))
      ::_exit(0);  // asked twice: whoever still uses the mounts loses them
    unmount_all();
  }
}

// Detached mounts live on for those who use them; when nobody does the kernel ends the connection.
// Users who stay are given some seconds: a service manager that stops us does not wait longer.
void Server::unmount_all() {
  constexpr unsigned kGraceSeconds = 5;
  for (auto& served : mounts_)
    if (served->mount) served->mount->unmount();
  ::signal(SIGALRM, [](int) { ::_exit(0); });
  ::alarm(kGraceSeconds);
}

void Server::run() {
  reactor_->run();
}

}  // namespace serving
