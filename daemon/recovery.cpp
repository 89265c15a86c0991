#include "daemon/recovery.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/unix_socket.hpp"
#include "daemon/server.hpp"

namespace serving {
namespace {

namespace log = base::log;

constexpr const char* kState = "state";
constexpr const char* kTray = "tray";
// Of FileDescriptorStoreMax=4096 (supervision has 1,000 of them): beyond the first the layers of a
// mount go together into a socket (there they count as "in flight", of which a user may have few),
// beyond the second files without a name are no longer kept.
constexpr std::size_t kMostDirect = 1800, kMostFiles = 800, kMostStored = 3000;
constexpr unsigned kMostAttempts = 2;

// "PREFIX-NUMBER" or "PREFIX-NUMBER-REST".
struct Name {
  std::string kind;
  std::uint64_t id = 0;
  std::string rest;
  static std::optional<Name> parse(const std::string& text) {
    std::size_t dash = text.find('-');
    if (dash == text.npos) return std::nullopt;
    Name name{text.substr(0, dash), 0, {}};
    const char* end = text.data() + text.size();
    auto [stop, error] = std::from_chars(text.data() + dash + 1, end, name.id);
    if (error != std::errc() || (stop != end && *stop != '-')) return std::nullopt;
    if (stop != end) name.rest.assign(stop + 1, end);
    return name;
  }
};

std::string name_of(const char* kind, std::uint64_t id, const std::string& rest = {}) {
  return std::string(kind) + "-" + std::to_string(id) + (rest.empty() ? "" : "-" + rest);
}

bool put_layers(const base::Fd& socket, std::span<const int> fds) {
  for (; !fds.empty(); fds = fds.subspan(std::min(fds.size(), base::kMostFdsAtOnce))) {
    auto now = fds.first(std::min(fds.size(), base::kMostFdsAtOnce));
    if (!base::send_with_fds(socket.get(), "x", now, MSG_DONTWAIT)) return false;
  }
  return true;
}

// Without taking them out: the next successor wants them too.
std::vector<base::Fd> peek_layers(const base::Fd& socket) {
  std::vector<base::Fd> found;
  char byte;
  base::peek_with_fds(socket.get(), {&byte, 1}, [&](std::string_view, std::vector<base::Fd> fds) {
    std::move(fds.begin(), fds.end(), std::back_inserter(found));
  });
  return found;
}

}  // namespace

/// What the keeper had of one mount.
struct Recovery::Found {
  base::Fd device, ledger, layer_socket;
  std::map<std::uint64_t, base::Fd> layers;
  fusefs::Kept kept;
  std::set<std::string> names;
};

base::Checked<base::Unit> Recovery::open_state() {
  NamedFds& inherited = keeper_.inherited();
  auto found = inherited.find(kState);
  std::string why;
  if (found != inherited.end()) {
    auto adopted = State::adopt(std::move(found->second));
    inherited.erase(kState);
    if (adopted) {
      state_ = std::move(*adopted);
      return base::Unit{};
    }
    keeper_.remove(kState);
    why = adopted.error().message;
  }
  TRY(state, State::create());
  state_ = std::move(state);
  keeper_.store(kState, state_->fd());
  if (!why.empty()) return base::refuse(why);
  return base::Unit{};
}

// What lies in the tray of the daemon before us counts as kept. In keeping first, then out of it.
void Recovery::open_tray() {
  NamedFds& inherited = keeper_.inherited();
  if (base::Fd old = take_one(inherited, kTray); old.valid()) {
    for (auto& [name, fd] : Tray::look_into(old)) {
      if (!fd.valid() || inherited.contains(name)) continue;
      keeper_.store(name, fd.get());
      inherited.emplace(name, std::move(fd));
    }
    keeper_.remove(kTray);
  }
  auto tray = Tray::make(server_.reactor(),
                         [this](const std::string& name, int fd) { store_file(name, fd); });
  if (!tray) return;
  tray_ = std::move(*tray);
  keeper_.store(kTray, tray_->reading_end());
}

void Recovery::take_over() {
  if (!keeper_.present()) return;
  if (auto opened = open_state(); !opened)
    log::line(log::Level::error, "recovery.state", "error=" + log::quoted(opened.error().message));
  if (!state_) return;
  open_tray();
  std::map<std::uint64_t, Found> all;
  NamedFds& inherited = keeper_.inherited();
  for (auto& [text, fd] : inherited) {
    auto name = Name::parse(text);
    if (!name || text.starts_with("slots-")) continue;
    Found& one = all[name->id];
    one.names.insert(text);
    std::uint64_t index = 0;
    std::from_chars(name->rest.data(), name->rest.data() + name->rest.size(), index);
    if (name->kind == "mount") one.device = std::move(fd);
    if (name->kind == "ledger") one.ledger = std::move(fd);
    if (name->kind == "layers") one.layer_socket = std::move(fd);
    if (name->kind == "layer") one.layers[index] = std::move(fd);
    if (name->kind == "kept") one.kept[name->rest] = std::move(fd);
    ++stored_;
    stored_files_ += name->kind == "kept";
  }
  inherited.clear();
  rebuild_all(all);
}

void Recovery::rebuild_all(std::map<std::uint64_t, Found>& all) {
  State::Head& head = state_->head();
  Totals& totals = server_.totals();
  server_.number_from(head.last_id);
  auto mounts = state_->mounts();
  bool successor = !mounts.empty() || head.last_id > 0;
  const std::uint64_t died_over = head.attempt, tries = head.attempt ? head.attempts : 0;
  for (auto& [id, found] : all) {
    names_[id] = found.names;
    if (!mounts.contains(id)) forget(id);
  }
  for (const auto& [id, asked] : mounts) {
    keeper_.ping();
    head.attempts = id == died_over ? tries + 1 : 1;
    head.attempt = id;
    auto result = head.attempts > kMostAttempts
                      ? base::refuse("the daemon has died over it " +
                                     std::to_string(kMostAttempts) + " times")
                      : rebuild(id, asked, std::move(all[id]));
    head.attempt = 0;
    std::string which =
        "mount=" + std::to_string(id) + " path=" + log::quoted(text_of(asked, "path"));
    if (result) {
      head.requests_lost += result->lost;
      log::line(log::Level::info, "recovery.mount",
                which + " nodes=" + std::to_string(result->nodes) + " handles=" +
                    std::to_string(result->handles) + " resent=" + (result->resent ? "yes" : "no") +
                    " lost=" + std::to_string(result->lost));
    } else {
      ++head.mounts_lost;
      log::line(log::Level::error, "recovery.lost",
                which + " error=" + log::quoted(result.error().message));
      forget(id);
    }
  }
  if (successor) ++head.restarts;
  totals.restarts = head.restarts;
  totals.mounts_lost = head.mounts_lost;
  totals.requests_lost = head.requests_lost;
  totals.last_takeover_seconds =
      successor ? static_cast<double>(base::monotonic_ns() - totals.started_ns) / 1e9 : 0;
  if (successor)
    log::line(log::Level::info, "recovery.done",
              "mounts=" + std::to_string(server_.mounts().size()) + "/" +
                  std::to_string(mounts.size()) +
                  " ms=" + std::to_string(static_cast<int>(totals.last_takeover_seconds * 1000)) +
                  " requests_lost=" + std::to_string(head.requests_lost));
}

base::Checked<fusefs::Takeover> Recovery::rebuild(std::uint64_t id, const Json& asked,
                                                  Found found) {
  if (!found.device.valid() || !found.ledger.valid())
    return base::refuse("its device or its ledger was not kept");
  TRY(request, MountRequest::parse(asked, server_.config()));
  std::vector<base::Fd> fds;
  if (found.layer_socket.valid()) fds = peek_layers(found.layer_socket);
  for (auto& [index, fd] : found.layers) fds.push_back(std::move(fd));
  TRY(layers, fusefs::LayerFds::from_order(std::move(fds), layer_paths(request.options)));
  TRY(ledger, fusefs::Ledger::adopt(std::move(found.ledger)));
  TRY(overlay,
      make_overlay(request.options, std::move(layers), server_.identities(), server_.reactor()));
  fusefs::Session::Hooks hooks;
  add_hooks(id, hooks);
  Served& served = server_.serve(std::move(request), std::move(found.device), std::move(overlay),
                                 std::move(hooks), {id, std::move(ledger)});
  if (auto since = number_of(asked, "since")) served.since = static_cast<std::int64_t>(*since);
  auto done = served.session->take_over(std::move(found.kept));
  if (!done) server_.discard(id);
  return done;
}

base::Checked<std::unique_ptr<fusefs::Ledger>> Recovery::keep(std::uint64_t id,
                                                              const MountRequest& request,
                                                              const base::Fd& device,
                                                              const fusefs::LayerFds& layers) {
  if (!state_) return std::unique_ptr<fusefs::Ledger>();
  if (stored_ + 3 > kMostStored)
    return base::refuse("no room for another mount: " + std::to_string(stored_) +
                        " descriptors are kept for the mounts there are");
  TRY(ledger, fusefs::Ledger::create(UNI_VERSION));
  store(id, name_of("mount", id), device.get());
  store(id, name_of("ledger", id), ledger->fd());
  keep_layers(id, layers.in_order());
  Json asked = request.as_json();
  asked["since"] = ::time(nullptr);
  state_->add(id, std::move(asked));
  return ledger;
}

void Recovery::keep_layers(std::uint64_t id, const std::vector<int>& layers) {
  int ends[2];
  if (stored_ + layers.size() > kMostDirect &&
      ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0) {
    base::Fd in(ends[0]), out(ends[1]);
    if (put_layers(in, layers)) return store(id, name_of("layers", id), out.get());
  }
  for (std::size_t i = 0; i < layers.size(); ++i)
    store(id, name_of("layer", id, std::to_string(i)), layers[i]);
}

void Recovery::add_hooks(std::uint64_t id, fusefs::Session::Hooks& hooks) {
  if (!state_) return;
  hooks.keep = [this, id](const std::string& name, int fd) {
    const std::string full = name_of("kept", id, name);
    if (!tray_ || !tray_->put(full, fd)) store_file(full, fd);
  };
  hooks.drop = [this, id](const std::string& name) { let_go(id, name_of("kept", id, name)); };
}

void Recovery::store(std::uint64_t id, const std::string& name, int fd) {
  if (names_[id].insert(name).second) ++stored_;
  keeper_.store(name, fd);
}

void Recovery::store_file(const std::string& name, int fd) {
  const std::uint64_t id = Name::parse(name)->id;
  if (!names_.contains(id)) return;  // the mount has ended
  if (stored_files_ < kMostFiles && stored_ < kMostStored) {
    ++stored_files_;
    return store(id, name, fd);
  }
  log::limited(full_, log::Level::warning, "recovery.full",
               "mount=" + std::to_string(id) + " files=" + std::to_string(stored_files_));
}

void Recovery::let_go(std::uint64_t id, const std::string& name) {
  if (tray_ && tray_->remove(name)) return;
  auto found = names_.find(id);
  if (found == names_.end() || found->second.erase(name) == 0) return;
  --stored_;
  if (name.starts_with("kept-")) --stored_files_;
  keeper_.remove(name);
}

void Recovery::forget(std::uint64_t id) {
  if (state_) state_->remove(id);
  auto found = names_.find(id);
  if (found == names_.end()) return;
  for (const std::string& name : std::set<std::string>(found->second)) let_go(id, name);
  names_.erase(id);
}

}  // namespace serving
