#include "daemon/supervision.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>

#include "base/log.hpp"
#include "daemon/notice_ledger.hpp"
#include "daemon/refresh.hpp"
#include "daemon/server.hpp"
#include "daemon/store_owners.hpp"
#include "seccomp/state_message.hpp"

namespace serving {
namespace {

namespace log = base::log;

constexpr const char* kSocket = "seccomp";
constexpr const char* kSocketLock = "seccomp-lock";
constexpr std::string_view kListen = "listen-", kLedger = "-ledger";
// Each exec brings one. A keeper has 4,096 descriptors in all (recovery.cpp), two for each of
// these.
constexpr std::size_t kMostListeners = 500;

std::string name_of(std::uint64_t name) {
  return std::string(kListen) + std::to_string(name);
}

ino_t pid_namespace_of(const std::string& process) {
  struct stat st;
  return ::stat(("/proc/" + process + "/ns/pid").c_str(), &st) == 0 ? st.st_ino : 0;
}

// A number that was written in another pid namespace is somebody else here.
bool counts_as_we_do(pid_t peer) {
  return peer > 0 && pid_namespace_of(std::to_string(peer)) == pid_namespace_of("self");
}

std::string described(const seccomp::ContainerInfo& info) {
  return "container=" + log::quoted(info.id) +
         " mode=" + std::string(seccomp::mode_name(info.mode)) +
         " profile=" + std::string(seccomp::profile_name(info.profile));
}

// The kernel opens no devices on mounts of any other user namespace (SB_I_NODEV); in this one a
// record would be as good as the device.
bool in_initial_namespace() {
  constexpr ino_t kInitial = 0xEFFFFFFD;  // PROC_USER_INIT_INO
  struct stat st;
  return ::stat("/proc/self/ns/user", &st) != 0 || st.st_ino == kInitial;
}

unsigned filters_of(const std::string& task) {
  std::ifstream status("/proc/" + task + "/status");
  const std::string key = "Seccomp_filters:";
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key)) return static_cast<unsigned>(std::atoi(line.c_str() + key.size()));
  return 0;
}

}  // namespace

void SupervisionTotals::absorb(const seccomp::Container& container) {
  ++containers;
  for (const auto& [call, times] : container.calls) calls[call].merge(times);
  virtual_answers += container.virtual_answers;
  refused += container.refused;
  gone += container.gone;
}

std::string state_socket_beside(const std::string& control) {
  std::size_t slash = control.rfind('/') + 1;  // 0 when there is none
  std::string above = control.substr(0, slash), name = control.substr(slash);
  if (name == "control.sock") return above + "seccomp.sock";
  if (name.starts_with("ns-")) return above + "seccomp-" + name.substr(3);
  if (name.ends_with(".sock")) name.resize(name.size() - 5);
  return above + name + "-seccomp.sock";
}

Supervision::Supervision(Server& server, Keeper& keeper)
    : server_(server),
      keeper_(keeper),
      devices_(server.wishes()),
      supervisor_(server.reactor(),
                  {server.identities().uid_slots, server.identities().gid_slots}) {
  if (auto owners = StoreOwners::make(server.identities(), server.config())) {
    owners_ = std::move(*owners);
    supervisor_.owners = owners_.get();
  }
  if (!in_initial_namespace()) supervisor_.devices = &devices_;
  supervisor_.on_gone = [this](std::uint64_t number) { gone(number); };
  supervisor_.on_container_gone = [this](const seccomp::Container& container) {
    totals_.absorb(container);
  };
  supervisor_.on_moved = [this] {
    // One at a time: it takes up all that has moved by when it runs.
    if (std::exchange(refreshing_, true)) return;
    server_.reactor().defer([this] {
      refreshing_ = false;
      ring::spawn(refresh_quietly(server_));
      tell_other_daemons(control_);
    });
  };
}

Supervision::~Supervision() = default;

// More filters than we have ourselves: it, or who started it, has loaded one of ours. Asked only
// while there is an engine, by who already is where engines are.
bool Supervision::is_engine(pid_t tid) const {
  bool any = false;
  for (const auto& container : supervisor_.containers())
    any |= container->info.mode == seccomp::Mode::engine;
  return any && filters_of(std::to_string(tid)) > filters_of("self");
}

void Supervision::take_over() {
  NamedFds& inherited = keeper_.inherited();
  std::map<std::uint64_t, std::pair<base::Fd, base::Fd>> found;
  for (auto& [text, fd] : inherited) {
    if (!text.starts_with(kListen)) continue;
    const char* end = text.data() + text.size();
    std::uint64_t name = 0;
    auto [stop, error] = std::from_chars(text.data() + kListen.size(), end, name);
    if (error != std::errc()) continue;
    (stop == end ? found[name].first : found[name].second) = std::move(fd);
  }
  inherited_ = {take_one(inherited, kSocket), take_one(inherited, kSocketLock), {}};
  std::erase_if(inherited, [](const auto& one) { return one.first.starts_with(kListen); });
  for (auto& [name, fds] : found) {
    last_name_ = std::max(last_name_, name);
    adopt(name, std::move(fds.first), std::move(fds.second));
  }
  if (!found.empty())
    log::line(log::Level::info, "supervise.taken_over",
              "listeners=" + std::to_string(listeners()) + "/" + std::to_string(found.size()));
}

void Supervision::adopt(std::uint64_t name, base::Fd listener, base::Fd ledger) {
  auto known = ledger.valid() ? NoticeLedger::adopt(std::move(ledger))
                              : base::refuse("a listener's ledger was not kept");
  auto info = known ? (*known)->info() : base::refuse(known.error().message);
  base::Checked<base::Unit> started = base::refuse("its descriptor was not kept");
  if (listener.valid() && info) {
    auto unfinished = (*known)->unfinished();
    started = start(name, std::move(listener), *info, std::move(*known), std::move(unfinished));
  } else if (listener.valid()) {
    // Its tasks must have answers, whoever they are.
    log::line(log::Level::error, "supervise.ledger", "error=" + log::quoted(info.error().message));
    seccomp::ContainerInfo unknown{.id = "unknown-" + std::to_string(name)};
    auto fresh = NoticeLedger::create(unknown);
    keeper_.remove(name_of(name) + std::string(kLedger));
    if (fresh) keeper_.store(name_of(name) + std::string(kLedger), (*fresh)->fd());
    started = start(name, std::move(listener), unknown, fresh ? std::move(*fresh) : nullptr, {});
  }
  if (started) return;
  log::line(log::Level::error, "supervise.lost", "error=" + log::quoted(started.error().message));
  let_go(name);
}

void Supervision::listen_beside(const std::string& control) {
  control_ = control;
  auto on_state = [this](std::string text, std::vector<base::Fd> fds, pid_t peer) {
    take_state(std::move(text), std::move(fds), peer);
  };
  std::string path = state_socket_beside(control);
  inherited_.path = path;
  auto listening =
      inherited_.socket.valid() ? base::Checked<Listening>(std::move(inherited_)) : listen_at(path);
  if (!listening) {
    log::line(log::Level::warning, "supervise.no_socket",
              "error=" + log::quoted(listening.error().message));
    return;
  }
  keeper_.store(kSocket, listening->socket.get());
  if (listening->lock.valid()) keeper_.store(kSocketLock, listening->lock.get());
  socket_ =
      std::make_unique<StateSocket>(server_.reactor(), std::move(*listening), std::move(on_state));
}

void Supervision::close_socket() {
  if (socket_) socket_->close_socket();
}

void Supervision::take_state(std::string text, std::vector<base::Fd> fds, pid_t peer) {
  auto state = seccomp::parse_state(text);
  base::Checked<base::Unit> added = base::refuse("the state came without its descriptor");
  if (!state) {
    added = base::refuse(state.error().message);
  } else if (state->listener < fds.size()) {
    if (!state->ours)
      log::line(log::Level::warning, "supervise.foreign",
                "container=" + log::quoted(state->info.id) +
                    " reason=\"its profile is not ours: it is served as mode slot, profile full\"");
    added = add(std::move(fds[state->listener]), std::move(state->info), peer);
  }
  if (!added)
    log::line(log::Level::error, "supervise.refused",
              "error=" + log::quoted(added.error().message));
}

bool Supervision::knows(const std::string& id) const {
  auto all = supervisor_.containers();
  return std::any_of(all.begin(), all.end(), [&](const auto& one) { return one->info.id == id; });
}

base::Checked<base::Unit> Supervision::add(base::Fd listener, seccomp::ContainerInfo info,
                                           pid_t peer) {
  if (listeners() >= kMostListeners)
    return base::refuse("container " + info.id + ": " + std::to_string(kMostListeners) +
                        " filters are supervised already, no room for another");
  if (draining && !knows(info.id))
    return base::refuse("container " + info.id + ": this daemon is about to end (drain)");
  if (!counts_as_we_do(peer)) info.pid = 0;
  std::uint64_t name = ++last_name_;
  std::unique_ptr<NoticeLedger> ledger;
  if (keeper_.present()) {
    TRY(made, NoticeLedger::create(info));
    ledger = std::move(made);
    keeper_.store(name_of(name), listener.get());
    keeper_.store(name_of(name) + std::string(kLedger), ledger->fd());
  }
  auto started = start(name, std::move(listener), info, std::move(ledger), {});
  if (!started) let_go(name);
  return started;
}

base::Checked<base::Unit> Supervision::start(std::uint64_t name, base::Fd listener,
                                             const seccomp::ContainerInfo& info,
                                             std::unique_ptr<seccomp::NoticeLog> notices,
                                             seccomp::Unfinished unfinished) {
  TRY(number,
      supervisor_.add(std::move(listener), info, std::move(notices), std::move(unfinished)));
  names_[number] = name;
  ++totals_.listeners;
  log::line(log::Level::info, "supervise.listener",
            described(info) + " listener=" + std::to_string(name) +
                " killable=" + (info.killable ? "yes" : "no"));
  if (on_change) on_change();
  return base::Unit{};
}

void Supervision::gone(std::uint64_t number) {
  auto found = names_.find(number);
  if (found == names_.end()) return;
  log::line(log::Level::info, "supervise.gone", "listener=" + std::to_string(found->second));
  let_go(found->second);
  names_.erase(found);
  if (on_change) on_change();
}

void Supervision::let_go(std::uint64_t name) {
  keeper_.remove(name_of(name));
  keeper_.remove(name_of(name) + std::string(kLedger));
}

SupervisionTotals Supervision::totals() const {
  SupervisionTotals all = totals_;
  for (const auto& one : supervisor_.containers()) all.absorb(*one);
  return all;
}

}  // namespace serving
