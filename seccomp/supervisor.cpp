#include "seccomp/supervisor.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include "seccomp/listener.hpp"

namespace seccomp {
namespace {

// 0, with errno: it is gone, or a process of a namespace that is not below ours.
std::uint64_t user_namespace_of(const std::string& process) {
  struct stat found;
  return ::stat(("/proc/" + process + "/ns/user").c_str(), &found) == 0 ? found.st_ino : 0;
}

// A map has at most a page of text; the kernel makes it without touching the task.
std::string read_map(const std::string& process, const char* name) {
  base::Fd file(::open(("/proc/" + process + "/" + name).c_str(), O_RDONLY | O_CLOEXEC));
  std::string text(64 * 1024, '\0');
  std::size_t length = 0;
  for (ssize_t got = 1;
       got > 0 && length<text.size(); length += got> 0 ? static_cast<std::size_t>(got) : 0) {
    got = file.valid() ? ::read(file.get(), text.data() + length, text.size() - length) : -1;
  }
  text.resize(length);
  return text;
}

// Of our own namespace the kernel tells the ids of its parent: for us each is itself.
std::string as_own(const std::string& map_text) {
  auto map = identity::Pool::parse(map_text);
  std::string text;
  if (!map) return text;
  for (const identity::Extent& e : map->extents()) {
    std::string first = std::to_string(e.inside);
    text += first + " " + first + " " + std::to_string(e.count) + "\n";
  }
  return text;
}

// ESRCH: it is gone. Else: its namespace is none of ours.
base::Result<Origin> origin_of(pid_t pid) {
  std::string process = std::to_string(pid);
  Origin origin;
  origin.user_namespace = user_namespace_of(process);
  if (origin.user_namespace == 0) return base::fail(errno == ENOENT ? ESRCH : errno);
  origin.uid_map = read_map(process, "uid_map");
  origin.gid_map = read_map(process, "gid_map");
  // Asked once more: the process may have gone, and its number be another's.
  bool same = user_namespace_of(process) == origin.user_namespace;
  if (!same || origin.uid_map.empty() || origin.gid_map.empty()) return base::fail(ESRCH);
  if (origin.user_namespace == user_namespace_of("self")) {
    origin.uid_map = as_own(origin.uid_map);
    origin.gid_map = as_own(origin.gid_map);
  }
  return origin;
}

}  // namespace

struct Supervisor::State {
  State(Supervisor& self, ring::Reactor& r, Slots s)
      : supervisor(self), reactor(r), slots(std::move(s)), tracees(r), injector(r, tracees) {}
  Supervisor& supervisor;
  ring::Reactor& reactor;
  Slots slots;
  Tracees tracees;
  Injector injector;
  std::map<std::uint64_t, std::shared_ptr<Listener>> listeners;
  struct Where {
    NoticeLog* log;
    std::uint64_t run;
  };
  std::map<pid_t, Where> injected;  // where an injection under way is written down
  std::uint64_t runs = 0;
  base::log::Limiter unknown{20};
  std::uint64_t last = 0;

  std::shared_ptr<Container> container_of(const ContainerInfo& info, const Origin& origin);
  base::Result<std::shared_ptr<Container>> first_call(const Listener& listener, pid_t tid);
  void gone(std::uint64_t number);
  void look_for_moves();
};

std::shared_ptr<Container> Supervisor::State::container_of(const ContainerInfo& info,
                                                           const Origin& origin) {
  for (auto& [number, listener] : listeners) {
    const auto& known = listener->container();
    if (known && known->info.id == info.id && known->info.mode == info.mode &&
        known->user_namespace == origin.user_namespace)
      return known;
  }
  auto uid_map = identity::Pool::parse(origin.uid_map),
       gid_map = identity::Pool::parse(origin.gid_map);
  if (!uid_map || !gid_map) return nullptr;
  // What it was planned with stands in the journal already.
  slots.uids->refresh();
  slots.gids->refresh();
  auto made =
      std::make_shared<Container>(Container{.info = info,
                                            .user_namespace = origin.user_namespace,
                                            .uids = IdView(std::move(*uid_map), slots.uids),
                                            .gids = IdView(std::move(*gid_map), slots.gids)});
  return made;
}

base::Result<std::shared_ptr<Container>> Supervisor::State::first_call(const Listener& listener,
                                                                       pid_t tid) {
  auto origin = origin_of(tid);
  auto container = origin ? container_of(listener.info(), *origin) : nullptr;
  if (container) {
    if (listener.log()) listener.log()->origin(*origin);
    return container;
  }
  int error = origin ? EINVAL : origin.error().value;
  if (error != ESRCH)
    base::log::limited(unknown, base::log::Level::error, "supervise.unknown",
                       "container=" + base::log::quoted(listener.info().id) +
                           " tid=" + std::to_string(tid) +
                           " error=" + base::log::quoted(std::strerror(error)) +
                           " reason=\"its user namespace is not below ours: all of its calls go "
                           "on as they are\"");
  return base::fail(error);
}

void Supervisor::State::gone(std::uint64_t number) {
  auto found = listeners.find(number);
  if (found == listeners.end()) return;
  auto listener = std::move(found->second);
  listeners.erase(found);
  const auto& container = listener->container();
  bool alone = container && std::none_of(listeners.begin(), listeners.end(), [&](const auto& one) {
                 return one.second->container() == container;
               });
  if (alone && supervisor.on_container_gone) supervisor.on_container_gone(*container);
  if (supervisor.on_gone) supervisor.on_gone(number);
}

void Supervisor::State::look_for_moves() {
  bool moved = slots.uids->have_moved() || slots.gids->have_moved();
  if (moved && supervisor.on_moved) supervisor.on_moved();
}

Supervisor::Supervisor(ring::Reactor& reactor, Slots slots)
    : state_(std::make_unique<State>(*this, reactor, std::move(slots))) {
  auto log_of = [state = state_.get()](pid_t tid) {
    auto found = state->injected.find(tid);
    return found == state->injected.end() ? nullptr : found->second.log;
  };
  state_->injector.on_begin = [log_of](const Injected& injected) {
    if (NoticeLog* log = log_of(injected.tid)) log->begin(injected);
  };
  state_->injector.on_end = [log_of](pid_t tid) {
    if (NoticeLog* log = log_of(tid)) log->end_injection(tid);
  };
}

Supervisor::~Supervisor() {
  for (auto& [number, listener] : state_->listeners) listener->abandon();
}

static ring::Task<void> repair(Supervisor& supervisor, std::shared_ptr<Listener> listener,
                               Injected injected, std::function<void()> restart) {
  pid_t tid = injected.tid;
  auto repaired = supervisor.injector().repair(std::move(injected), std::move(restart));
  co_await std::move(repaired);
  if (listener->log()) listener->log()->end_injection(tid);
}

// The threads that a predecessor has left changed do their calls anew; the other calls are handled.
static void take_up(Supervisor& supervisor, const std::shared_ptr<Listener>& listener,
                    Unfinished unfinished) {
  for (Injected& injected : unfinished.injections) {
    std::vector<std::uint64_t> received;
    for (const Notice& notice : unfinished.notices)
      if (notice.tid == injected.tid) received.push_back(notice.id);
    std::erase_if(unfinished.notices, [&](const Notice& n) { return n.tid == injected.tid; });
    std::function<void()> restart = [listener, received] {
      for (std::uint64_t id : received) listener->restart(id);
    };
    ring::spawn(repair(supervisor, listener, std::move(injected), std::move(restart)));
  }
  listener->start(unfinished);
}

base::Checked<std::uint64_t> Supervisor::add(base::Fd fd, const ContainerInfo& info,
                                             std::unique_ptr<NoticeLog> log,
                                             Unfinished unfinished) {
  TRY(notices, NoticeFd::adopt(std::move(fd)));
  std::uint64_t number = ++state_->last;
  State& state = *state_;
  Listener::Hooks hooks;
  hooks.find_container = [&state](const Listener& l, pid_t tid) {
    return state.first_call(l, tid);
  };
  hooks.on_gone = [&state, number] { state.gone(number); };
  hooks.after_call = [&state] { state.look_for_moves(); };
  auto listener =
      std::make_shared<Listener>(*this, std::move(notices), info, std::move(log), std::move(hooks));
  auto origin = unfinished.origin;
  if (!origin && info.pid > 0) {
    auto found = origin_of(info.pid);
    if (!found && found.error().value != ESRCH)
      return base::refuse("container " + info.id + ": the user namespace of process " +
                          std::to_string(info.pid) +
                          " is not below the daemon's: " + std::strerror(found.error().value));
    if (found) origin = std::move(*found);
    if (origin && listener->log()) listener->log()->origin(*origin);
  }
  if (origin) {
    auto container = state.container_of(info, *origin);
    if (!container) return base::refuse("container " + info.id + ": its id maps make no sense");
    listener->belongs_to(std::move(container));
  }
  state.listeners.emplace(number, listener);
  take_up(*this, listener, std::move(unfinished));
  return number;
}

std::vector<std::shared_ptr<const Container>> Supervisor::containers() const {
  std::vector<std::shared_ptr<const Container>> all;
  for (auto& [number, listener] : state_->listeners) {
    const auto& container = listener->container();
    if (container && std::find(all.begin(), all.end(), container) == all.end())
      all.push_back(container);
  }
  return all;
}

std::size_t Supervisor::listeners() const {
  return state_->listeners.size();
}

ring::Reactor& Supervisor::reactor() {
  return state_->reactor;
}
Tracees& Supervisor::tracees() {
  return state_->tracees;
}
Injector& Supervisor::injector() {
  return state_->injector;
}

ring::Task<Answer> Supervisor::run_again(Call call, Rerun rerun, Answer otherwise) {
  pid_t tid = call.notice.tid;
  std::uint64_t number = ++state_->runs;
  if (call.log) state_->injected[tid] = {call.log, number};
  auto run = state_->injector.run(call.notice, std::move(rerun), call.still_valid, call.restart);
  Ran ran = co_await std::move(run);
  // A run that came too late may have been followed by another of the same thread.
  auto mine = state_->injected.find(tid);
  if (mine != state_->injected.end() && mine->second.run == number) state_->injected.erase(mine);
  Container& container = *call.container;
  std::string what =
      "call=" + std::string(call.row ? call.row->name : "?") + " tid=" + std::to_string(tid);
  switch (ran) {
    case Ran::done: break;
    case Ran::gone: ++container.gone; break;
    case Ran::traced:
      ++container.virtual_answers;
      tell(container, "traced",
           what +
               (otherwise == Answer::fail(EPERM)
                    ? " answer=EPERM reason=\"another program traces the task: its ids can not be "
                      "changed; "
                      "start it without strace or gdb\""
                    : " answer=virtual reason=\"another program traces the task: it sees what the "
                      "kernel has, not all of it translated\""));
      co_return otherwise;
    case Ran::refused:
      ++container.refused;
      tell(container, "refused", what + " reason=\"ptrace is forbidden here\"");
      co_return otherwise;
  }
  co_return Answer::silence();
}

void Supervisor::tell(const Container& container, std::string_view name,
                      const std::string& details) {
  base::log::limited(container.told, base::log::Level::warning, "supervise." + std::string(name),
                     "container=" + base::log::quoted(container.info.id) + " " + details);
}

}  // namespace seccomp
