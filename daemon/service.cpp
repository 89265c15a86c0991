#include "daemon/service.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "base/log.hpp"
#include "daemon/detach.hpp"
#include "daemon/holder.hpp"
#include "daemon/refresh.hpp"
#include "daemon/slot_journal.hpp"

namespace serving {
namespace {

namespace log = base::log;

constexpr const char* kControl = "control";  // FileDescriptorName= of our socket unit
constexpr const char* kControlLock = "control-lock";
constexpr std::uint32_t kGraceMs = 5000;

// The path of a listening socket; nothing if it is something else.
std::optional<std::string> listens_at(const base::Fd& socket) {
  int listening = 0;
  socklen_t size = sizeof listening;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || !listening)
    return std::nullopt;
  sockaddr_un address{};
  size = sizeof address - 1;
  auto* name = reinterpret_cast<sockaddr*>(&address);
  if (::getsockname(socket.get(), name, &size) != 0 || address.sun_family != AF_UNIX)
    return std::nullopt;
  return std::string(address.sun_path);
}

}  // namespace

Service::Service(ServiceOptions options, Keeper keeper)
    : options_(std::move(options)), keeper_(std::move(keeper)) {}
Service::~Service() {
  SlotJournal::on_open = nullptr;
}

base::Checked<std::unique_ptr<Service>> Service::make(ServiceOptions options, Keeper keeper) {
  std::unique_ptr<Service> service(new Service(std::move(options), std::move(keeper)));
  Service* self = service.get();
  self->keep_slot_journals();
  TRY(server, Server::make(self->options_.config));
  self->server_ = std::move(server);
  self->keeper_.attach(self->server_->reactor());
  TRY(listening, self->listen());
  self->recovery_ = std::make_unique<Recovery>(*self->server_, self->keeper_);
  self->server_->recovery = self->recovery_.get();
  self->server_->on_gone = [self](std::uint64_t id) {
    self->recovery_->forget(id);
    self->count_mounts();
  };
  self->server_->on_signal_number = [self](int number) { return self->on_signal(number); };
  self->supervise();
  self->recovery_->take_over();
  ring::spawn(refresh_quietly(*self->server_));  // ids may have moved while nobody served
  bool person = self->options_.person;
  self->supervision_->listen_beside(listening.path);
  self->control_ = std::make_unique<Control>(*self->server_, std::move(listening), person);
  self->control_->life = self;
  return service;
}

// Before the mounts: calls that wait need nothing of them.
void Service::supervise() {
  supervision_ = std::make_unique<Supervision>(*server_, keeper_);
  server_->supervision = supervision_.get();
  supervision_->take_over();
  supervision_->on_change = [this] { count_mounts(); };
}

bool Service::idle() const {
  return server_->mounts().empty() && supervision_->listeners() == 0;
}

// The ids that containers have seen must be theirs after a crash as well.
void Service::keep_slot_journals() {
  std::set<std::string> known;
  for (const auto& [name, fd] : keeper_.inherited()) known.insert(name);
  SlotJournal::on_open = [this, known](const std::string& name, int lock) mutable {
    if (known.insert(name).second) keeper_.store(name, lock);
  };
}

// A socket of the manager's, or of the daemon before us; else our own, which is then kept, so that
// who connects while nobody serves just waits.
base::Checked<Listening> Service::listen() {
  NamedFds& inherited = keeper_.inherited();
  for (const char* name : {kControl, "unknown"}) {
    base::Fd socket = take_one(inherited, name);
    auto path = socket.valid() ? listens_at(socket) : std::nullopt;
    if (path) return Listening{std::move(socket), take_one(inherited, kControlLock), *path};
  }
  if (options_.socket.empty())
    return base::refuse("no control socket: neither a path nor a socket of the service manager");
  TRY(listening, listen_at(options_.socket));
  keeper_.store(kControl, listening.socket.get());
  keeper_.store(kControlLock, listening.lock.get());
  return listening;
}

int Service::run() {
  if (keeper_.watchdog_interval()) tick();
  keeper_.ready();
  log::line(log::Level::info, "daemon.ready",
            "version=" UNI_VERSION " pid=" + std::to_string(::getpid()) +
                " socket=" + log::quoted(control_->path()) +
                " mounts=" + std::to_string(server_->mounts().size()));
  if (const auto& wanted = options_.config.daemon; !wanted.metrics_file.empty())
    metrics_file_ = std::make_unique<MetricsFile>(*server_, control_.get(), wanted.metrics_file,
                                                  wanted.metrics_s);
  count_mounts();
  server_->run();
  return 0;
}

// From the reactor: if that is blocked, no ping is sent, and the manager acts.
void Service::tick() {
  keeper_.ping();
  auto half = static_cast<std::uint32_t>(keeper_.watchdog_interval()->count() / 2);
  watchdog_ = server_->reactor().after(half, [this] { tick(); });
}

void Service::count_mounts() {
  std::size_t count = server_->mounts().size();
  std::string text = "serving " + std::to_string(count) + (count == 1 ? " mount" : " mounts");
  if (std::size_t listeners = supervision_->listeners())
    text +=
        ", supervising " + std::to_string(listeners) + (listeners == 1 ? " filter" : " filters");
  keeper_.status(text);
  if (!idle()) return;
  if (stopping_ || draining_) return leave(0);
  std::uint32_t seconds = server_->config().daemon.idle_exit_s;
  if (!options_.autostart || seconds == 0) return;
  idle_ = server_->reactor().after(seconds * 1000, [this] { consider_leaving(); });
}

// Whoever has connected by now is served; who comes later finds nobody, and starts another.
void Service::consider_leaving() {
  if (!idle()) return;
  if (control_->connections() > 0 || control_->somebody_knocks() ||
      supervision_->expects_somebody())
    return count_mounts();
  log::line(log::Level::info, "daemon.idle");
  leave(0);
}

bool Service::on_signal(int number) {
  if (number == SIGHUP) {
    reload();
    return true;
  }
  // A manager that means to stop us has made ExecStop= unmount before; else it will start us again,
  // and nobody is to notice.
  if (keeper_.present() && !options_.held)
    leave(0);
  else
    stop(stopping_);
  return true;
}

void Service::reload() {
  if (!options_.read_settings) {
    log::line(
        log::Level::warning, "daemon.reload",
        "reason=\"this daemon cannot see the files any more; use: usernetes-identity reload\"");
    return;
  }
  keeper_.reloading();
  auto wanted = options_.read_settings();
  if (wanted)
    server_->reload(*wanted);
  else
    log::line(log::Level::error, "daemon.reload", "error=" + log::quoted(wanted.error().message));
  keeper_.ready();
}

void Service::stop(bool now) {
  stopping_ = draining_ = true;
  supervision_->draining = true;
  keeper_.stopping();
  if (idle()) return leave(0);
  std::vector<std::string> devices;
  for (const auto& served : server_->mounts()) devices.push_back(served->request.device);
  auto helper = Detacher::start(server_->reactor(), std::move(devices), [this, now] {
    if (now) leave(0);
  });
  if (helper)
    detacher_ = std::move(*helper);
  else
    log::line(log::Level::error, "daemon.detach", "error=" + log::quoted(helper.error().message));
  grace_ = server_->reactor().after(kGraceMs, [this] {
    log::line(log::Level::warning, "daemon.in_use",
              "mounts=" + std::to_string(server_->mounts().size()) +
                  " filters=" + std::to_string(supervision_->listeners()));
    leave(0);
  });
}

void Service::drain() {
  draining_ = true;
  supervision_->draining = true;
  if (idle()) server_->reactor().defer([this] { count_mounts(); });
}

base::Checked<base::Unit> Service::restart(base::Fd successor) {
  if (!keeper_.present())
    return base::refuse(
        "nobody keeps this daemon's mounts meanwhile: it runs without a service manager");
  if (successor.valid()) keeper_.store(kSuccessor, successor.get());
  // After the answer to who asked.
  grace_ = server_->reactor().after(20, [this] { leave(kRestartCode); });
  return base::Unit{};
}

// As if killed, on purpose: so there is one way only, and every restart tries it out. What is under
// way the kernel sends to our successor once more.
void Service::leave(int code) {
  log::line(log::Level::info, "daemon.leaves", "code=" + std::to_string(code));
  if (code == 0 && (options_.held || !keeper_.present())) {
    control_->close_socket();
    supervision_->close_socket();
  }
  keeper_.flush(std::chrono::seconds(2));
  ::_exit(code);
}

}  // namespace serving
