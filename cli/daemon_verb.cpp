#include "cli/daemon_verb.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <cstring>

#include "base/log.hpp"
#include "cli/background.hpp"
#include "cli/config_verb.hpp"
#include "cli/engine.hpp"
#include "config/toml.hpp"
#include "daemon/holder.hpp"
#include "daemon/runtime_dir.hpp"
#include "daemon/service.hpp"
#include "daemon/user_namespace.hpp"

namespace cli {
namespace {

namespace log = base::log;

// Who has started us may read our stderr to its end.
void let_go_of_stdio(int null) {
  for (int fd : {0, 1, 2}) ::dup2(null, fd);
}

base::Checked<base::Unit> set_up_log(const config::Config::Log& wanted, bool background) {
  TRY(level, log::parse_level(wanted.level));
  log::set_level(level);
  if (!wanted.file.empty()) return log::set_file(wanted.file);
  if (background) log::set_silent();
  return base::Unit{};
}

std::string folder_of(const std::string& path) {
  std::size_t slash = path.rfind('/');
  return slash == path.npos ? std::string() : path.substr(0, slash);
}

// After the namespace is entered: its maps are in the name.
base::Checked<std::string> socket_path(const DaemonStart& start) {
  if (!start.socket.empty()) return start.socket;
  if (!start.config.daemon.socket.empty()) return start.config.daemon.socket;
  TRY_VOID(serving::open_runtime_dir());
  auto maps = serving::IdMaps::of_this_process();
  return serving::runtime_dir() + "/" +
         (start.autostart ? serving::namespace_socket(maps) : serving::service_socket());
}

// While we still see what the user sees: where his engines keep their layers.
base::Checked<config::Config> with_stores(base::Checked<config::Config> config) {
  if (config) config->engine.stores = engine_stores(*config);
  return config;
}

serving::ServiceOptions service_options(DaemonStart& start, std::string socket) {
  serving::ServiceOptions out;
  out.config = start.config;
  out.socket = std::move(socket);
  out.autostart = start.autostart;
  out.person = !start.autostart;
  if (start.read_settings)
    out.read_settings = [read = start.read_settings] { return with_stores(read()); };
  return out;
}

int run_service(serving::ServiceOptions options, serving::Keeper keeper, int null) {
  auto service = serving::Service::make(std::move(options), std::move(keeper));
  if (!service) {
    log::line(log::Level::error, "daemon.start", "error=" + log::quoted(service.error().message));
    return complain(service.error().message);
  }
  if (null >= 0) let_go_of_stdio(null);
  return (*service)->run();
}

void settle() {
  ::umask(0);
  raise_descriptor_limit();
  (void)!::chdir("/");
}

// A service manager has started us, and keeps our descriptors.
int serve_for_manager(DaemonStart start) {
  auto keeper = serving::Keeper::from_environment();
  if (!keeper) return complain(keeper.error().message);
  auto entered = serving::enter_user_namespace();
  if (!entered) return complain(entered.error().message);
  log::line(log::Level::info, "daemon.namespace", "how=" + log::quoted(*entered));
  auto socket = socket_path(start);
  if (!socket) return complain(socket.error().message);
  settle();
  return run_service(service_options(start, *socket), std::move(*keeper), -1);
}

// We are the manager. `ready`: the pipe to who waits; not valid in the foreground.
int serve_for_holder(DaemonStart start, base::Fd ready) {
  bool background = ready.valid();
  auto entered = serving::enter_user_namespace();
  if (!entered) return complain(entered.error().message);
  auto socket = socket_path(start);
  if (!socket) return complain(socket.error().message);
  base::Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (background) {
    ::setsid();
    const std::string keep[] = {serving::runtime_dir(), folder_of(*socket),
                                folder_of(start.config.log.file),
                                folder_of(start.config.daemon.metrics_file)};
    // Held for ever otherwise, but served all the same.
    if (auto left = serving::leave_mount_namespace(keep); !left)
      log::line(log::Level::warning, "daemon.namespace",
                "error=" + log::quoted(left.error().message));
    start.read_settings = nullptr;
  }
  settle();
  log::line(log::Level::info, "daemon.namespace", "how=" + log::quoted(*entered));
  serving::ServiceOptions options = service_options(start, *socket);
  options.held = true;
  serving::Holding holding;
  holding.kept = std::move(start.kept);
  holding.predecessor = std::move(start.predecessor);
  int quiet = background ? null.get() : -1;
  holding.daemon = [options, quiet](serving::Keeper keeper) {
    ::prctl(PR_SET_NAME, "uni-daemon");
    return run_service(options, std::move(keeper), quiet);
  };
  auto pipe = std::make_shared<base::Fd>(std::move(ready));
  holding.on_ready = [pipe, quiet] {
    if (quiet >= 0) let_go_of_stdio(quiet);
    if (pipe->valid()) (void)!::write(pipe->get(), "", 1);
    pipe->reset();
  };
  pipe.reset();  // the daemon, which is forked, must not have it
  ::prctl(PR_SET_NAME, "uni-holder");
  return serving::hold(std::move(holding));
}

int start_in_background(DaemonStart start) {
  return in_background("the daemon", [&start](base::Fd ready) {
    return serve_for_holder(std::move(start), std::move(ready));
  });
}

// Descriptors of the caller's are none of our business, and to hold them might be felt.
void close_what_is_not_ours() {
  ::syscall(SYS_close_range, 3u, ~0u, 0u);
}

}  // namespace

int start_daemon(DaemonStart start) {
  bool managed = ::getenv("NOTIFY_SOCKET") && !start.background;
  start.config.engine.stores = engine_stores(start.config);
  if (auto done = set_up_log(start.config.log, start.background); !done)
    return complain(done.error().message);
  if (managed) return serve_for_manager(std::move(start));
  if (start.background) return start_in_background(std::move(start));
  return serve_for_holder(std::move(start), {});
}

base::Checked<Succession> succeed(serving::Client& old, const config::Config& config) {
  constexpr time_t kPatience = 30;
  bool here = ::geteuid() == 0 && old.hello().maps == serving::IdMaps::of_this_process();
  int ends[2];
  if (!here || ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return Succession{};
  base::Fd ours(ends[0]), theirs(ends[1]);
  timeval patience{.tv_sec = kPatience, .tv_usec = 0};
  ::setsockopt(ours.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  raise_descriptor_limit();
  const int fd = theirs.get();
  TRY(answer, old.call({{"verb", "restart"}}, {&fd, 1}));
  theirs.reset();
  if (!serving::flag_of(answer, "hand_over")) return Succession{.asked = true};
  DaemonStart start;
  TRY(kept, serving::take_from_predecessor(ours));
  start.config = config;
  start.socket = old.path();
  start.background = true;
  start.autostart = !old.hello().service;
  start.kept = std::move(kept);
  start.predecessor = std::move(ours);
  { serving::Client ended = std::move(old); }  // not to be held by the daemon, which is forked
  if (start_daemon(std::move(start)) != kDone)
    return base::refuse("this build could not take over; the daemon before goes on");
  return Succession{.done = true, .asked = true};
}

Action prepare_daemon(CLI::App& options) {
  auto start = std::make_shared<DaemonStart>();
  auto sources = add_set_option(options);
  options.add_option("--socket", start->socket, "where to listen, instead of daemon.socket")
      ->type_name("PATH");
  options.add_flag("--background", start->background, "come back when it serves");
  options.add_flag(
      "--autostart", start->autostart,
      "serve the mounts of this user namespace, in the background, and leave when idle");
  options.footer(
      "Under a service manager (NOTIFY_SOCKET) the mounts' descriptors are in its store. Otherwise "
      "a second process keeps them, and starts the daemon again when it dies.");
  return [start, sources] {
    if (start->autostart) start->background = true;
    if (start->background) close_what_is_not_ours();
    auto config = config::load_config(*sources);
    if (!config) return complain(config.error().message);
    start->config = std::move(*config);
    start->read_settings = [sources] { return config::load_config(*sources); };
    return start_daemon(std::move(*start));
  };
}

}  // namespace cli
