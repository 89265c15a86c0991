#include "daemon/server.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/log.hpp"
#include "daemon/slot_journal.hpp"

namespace serving {
namespace {

namespace log = base::log;
using fusefs::Id;

base::Checked<identity::Pool> read_pool(const char* path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  auto pool = identity::Pool::parse(text.str());
  if (!pool) return base::refuse(std::string(path) + ": " + pool.error().message);
  return pool;
}

void log_assignment(const char* kind, const identity::LiveSlots::Assignment& assignment) {
  if (assignment.first_choice) return;
  log::line(log::Level::info, "identity.second_choice",
            std::string("kind=") + kind + " id=" + std::to_string(assignment.true_id) +
                " slot=" + std::to_string(assignment.slot));
}

// What must be equal for two processes to share their slots.
std::string describe(const identity::Pool& pool, const config::Config& config) {
  std::string text = std::to_string(config.identity.rule) + config.identity.collisions + " " +
                     std::to_string(config.identity.window_first) + "-" +
                     std::to_string(config.identity.window_last);
  for (const identity::Extent& extent : pool.extents())
    text += " " + std::to_string(extent.inside) + "+" + std::to_string(extent.count);
  return text;
}

// Slots and the journal that their assignments come from and go to.
struct JournalledSlots {
  std::unique_ptr<SlotJournal> journal;
  identity::LiveSlots slots;
};

std::shared_ptr<identity::LiveSlots> make_slots(const identity::Pool& pool, const char* kind,
                                                const config::Config& config) {
  auto both = std::make_shared<JournalledSlots>(
      JournalledSlots{pool.is_full() ? nullptr : SlotJournal::open(kind, describe(pool, config)),
                      {pool, pool.hash_range(), config::rule(config), config::window(config),
                       config::collisions(config)}});
  both->slots.on_assign([kind](const auto& assignment) { log_assignment(kind, assignment); });
  both->slots.share_through(both->journal.get());
  return {both, &both->slots};
}

// One kind of id for one mount. A mapping confines the slots to what it can show.
base::Checked<fusefs::IdMapper> make_mapper(const identity::Pool& pool,
                                            std::shared_ptr<identity::LiveSlots> slots,
                                            const std::vector<config::IdMapLine>& lines,
                                            std::optional<Id> squash, const char* kind,
                                            const config::Config& config) {
  fusefs::IdMapper::Setup setup;
  setup.range = pool.hash_range();
  setup.rule = config::rule(config);
  setup.squash = squash;
  setup.slots = std::move(slots);
  std::vector<identity::Extent> extents;
  for (const config::IdMapLine& line : lines) {
    setup.mapping.push_back({line.disk, line.shown, line.count});
    extents.push_back({line.disk, line.shown, line.count});
  }
  if (!extents.empty()) {
    auto domain = identity::Pool::from_extents(std::move(extents));
    if (!domain) return base::refuse(std::string(kind) + "mapping: " + domain.error().message);
    identity::Window window = config::window(config);
    for (Id id = window.first; id <= window.last; ++id) setup.foreign_slots &= domain->contains(id);
    setup.slots = make_slots(*domain, kind, config);
  }
  return fusefs::IdMapper(std::move(setup));
}

std::optional<Id> squash_of(const config::MountOptions& options, std::optional<Id> single) {
  if (single) return single;
  if (options.squash_to_root) return Id{0};
  return std::nullopt;
}

fusefs::OpaqueForm opaque_form(const std::string& word) {
  if (word == "trusted") return fusefs::OpaqueForm::trusted;
  if (word == "user") return fusefs::OpaqueForm::user;
  if (word == "fuseoverlayfs") return fusefs::OpaqueForm::fuseoverlayfs;
  if (word == "file") return fusefs::OpaqueForm::file;
  return fusefs::OpaqueForm::automatic;
}

fusefs::WhiteoutForm whiteout_form(const std::string& word) {
  // fuse-overlayfs's own switch, for file systems which take the device and lose it.
  if (::getenv("FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT")) return fusefs::WhiteoutForm::file;
  if (word == "device") return fusefs::WhiteoutForm::device;
  if (word == "file") return fusefs::WhiteoutForm::file;
  return fusefs::WhiteoutForm::automatic;
}

fusefs::OverlayOptions overlay_options(const config::MountOptions& options) {
  const config::Config& config = options.config;
  fusefs::OverlayOptions out;
  out.timeout = options.timeout;
  out.writeback = options.writeback;
  out.acl = !options.noacl;
  out.xattrs = !options.noxattrs;
  out.sync = !options.volatile_fsync;
  out.static_nlink = options.static_nlink;
  out.ino32 = options.ino32;
  out.redirect = options.redirect_create && config.overlay.redirect_dir;
  out.redirect_follow = options.redirect_follow;
  out.xino = options.xino == config::Xino::off  ? fusefs::XinoMode::off
             : options.xino == config::Xino::on ? fusefs::XinoMode::on
                                                : fusefs::XinoMode::automatic;
  out.opaque = opaque_form(config.overlay.opaque);
  out.whiteout = whiteout_form(config.overlay.whiteout);
  out.dirfd_cache = config.overlay.dirfd_cache;
  out.max_write = config.fuse.max_write;
  out.max_background = static_cast<std::uint16_t>(config.fuse.max_background);
  return out;
}

}  // namespace

struct Server::Served {
  std::unique_ptr<Mount> mount;
  std::unique_ptr<fusefs::Session> session;
  log::Limiter corrupt{10};
};

Server::Server(std::unique_ptr<ring::Reactor> reactor, Identities ids, const config::Config& config)
    : reactor_(std::move(reactor)), ids_(std::move(ids)), config_(config) {}
Server::~Server() = default;

base::Checked<Identities> Identities::of_this_process(const config::Config& config) {
  TRY(uids, read_pool("/proc/self/uid_map"));
  TRY(gids, read_pool("/proc/self/gid_map"));
  auto uid_slots = make_slots(uids, "uid", config);
  auto gid_slots = make_slots(gids, "gid", config);
  return Identities{std::move(uids), std::move(gids), std::move(uid_slots), std::move(gid_slots)};
}

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
  if (!signals_.valid()) return base::refuse(std::string("signalfd: ") + std::strerror(errno));
  signal_watch_ = reactor_->watch(signals_.get(), POLLIN, [this](int) { on_signal(); });
  return base::Unit{};
}

base::Checked<base::Unit> Server::add(const config::MountOptions& options,
                                      const std::string& subtype, std::function<void()> on_ready) {
  fusefs::OverlayOptions wanted = overlay_options(options);
  TRY(stack,
      fusefs::LayerStack::open({options.lowerdirs, options.upperdir, options.workdir}, wanted));
  const config::Config& config = options.config;
  TRY(uids, make_mapper(ids_.uids, ids_.uid_slots, options.uidmapping,
                        squash_of(options, options.squash_to_uid), "uid", config));
  TRY(gids, make_mapper(ids_.gids, ids_.gid_slots, options.gidmapping,
                        squash_of(options, options.squash_to_gid), "gid", config));
  auto served = std::make_unique<Served>();
  Served* entry = served.get();
  auto overlay = std::make_unique<fusefs::Overlay>(std::move(stack), std::move(uids),
                                                   std::move(gids), wanted, *reactor_);
  if (overlay->nodes().root()->dir->layers.empty())
    return base::refuse("lowerdir " + options.lowerdirs.front() + ": its root cannot be read");
  overlay->on_corrupt = [entry](const std::string& name) {
    log::limited(entry->corrupt, log::Level::warning, "record.corrupt",
                 "name=" + log::quoted(name));
  };
  TRY(mount, Mount::make(options, subtype));
  fusefs::Session::Hooks hooks;
  hooks.on_ready = std::move(on_ready);
  hooks.on_end = [this, entry](int error) { gone(entry, error); };
  served->session = std::make_unique<fusefs::Session>(*reactor_, mount->take_device(),
                                                      std::move(overlay), std::move(hooks));
  served->mount = std::move(mount);
  mounts_.push_back(std::move(served));
  return base::Unit{};
}

void Server::gone(Served* served, int error) {
  log::settle(served->corrupt, log::Level::warning, "record.corrupt",
              "path=" + log::quoted(served->mount->path()));
  log::line(log::Level::info, "mount.gone",
            "path=" + log::quoted(served->mount->path()) + " errno=" + std::to_string(error));
  std::erase_if(mounts_, [&](const auto& other) { return other.get() == served; });
  if (!mounts_.empty()) return;
  signal_watch_ = {};
  reactor_->stop();
}

void Server::on_signal() {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGUSR1) {
      report();
      continue;
    }
    log::line(log::Level::info, "signal", "number=" + std::to_string(info.ssi_signo));
    if (std::exchange(leaving_, true))
      ::_exit(0);  // asked twice: whoever still uses the mounts loses them
    unmount_all();
  }
}

// Detached mounts live on for those who use them; when nobody does the kernel ends the connection.
// Users who stay are given some seconds: a service manager that stops us does not wait longer.
void Server::unmount_all() {
  constexpr unsigned kGraceSeconds = 5;
  for (auto& served : mounts_) served->mount->unmount();
  ::signal(SIGALRM, [](int) { ::_exit(0); });
  ::alarm(kGraceSeconds);
}

void Server::report() const {
  for (const auto& served : mounts_) {
    auto& session = *served->session;
    log::line(log::Level::info, "mount.status",
              "path=" + log::quoted(served->mount->path()) +
                  " nodes=" + std::to_string(session.overlay().nodes().size()) +
                  " open=" + std::to_string(session.overlay().handles().size()) +
                  " in_flight=" + std::to_string(session.in_flight()) +
                  " rejected=" + std::to_string(session.stats().rejected) +
                  " copy_ups=" + std::to_string(session.overlay().counters().copy_ups));
    for (std::size_t op = 0; op < fusefs::kOps.size(); ++op)
      if (session.stats().ops[op].requests)
        log::line(log::Level::info, "mount.requests",
                  "op=" + std::string(fusefs::kOps[op].name) +
                      " count=" + std::to_string(session.stats().ops[op].requests));
    for (const fusefs::WaitingRequest& one : session.waiting())
      log::line(log::Level::info, "mount.in_flight",
                "unique=" + std::to_string(one.unique) + " op=" + std::string(one.op) +
                    " path=" + log::quoted(one.path) + " waits=" + std::string(one.waits) +
                    " seconds=" + std::to_string(one.seconds));
  }
}

void Server::run() {
  reactor_->run();
}

}  // namespace serving
