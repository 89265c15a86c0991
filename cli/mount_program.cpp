#include "cli/mount_program.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/fd.hpp"
#include "base/log.hpp"
#include "cli/background.hpp"
#include "cli/verbs.hpp"
#include "cli/version.hpp"
#include "config/mount_options.hpp"
#include "config/toml.hpp"
#include "daemon/join.hpp"
#include "daemon/server.hpp"

extern char** environ;

namespace cli {
namespace {

namespace log = base::log;

// The caller reads our stderr to its end: as long as we hold it, it waits.
void let_go_of_stdio() {
  base::Fd null(
      ::fcntl(base::Fd(::open("/dev/null", O_RDWR | O_CLOEXEC)).get(), F_DUPFD_CLOEXEC, 3));
  for (int fd : {0, 1, 2})
    if (null.valid()) ::dup2(null.get(), fd);
}

base::Checked<base::Unit> set_up_log(const config::MountOptions& options) {
  const auto& wanted = options.config.log;
  std::string level = options.debug ? "debug" : wanted.level;
  TRY(parsed, log::parse_level(level));
  log::set_level(parsed);
  if (!wanted.file.empty()) return log::set_file(wanted.file);
  if (!options.foreground) log::set_silent();
  return base::Unit{};
}

// What the serving process does. `ready`: the pipe to the waiting parent; empty in the foreground.
int serve(const std::string& subtype, const config::MountOptions& options, base::Fd ready) {
  if (auto done = set_up_log(options); !done) return complain(done.error().message);
  ::umask(0);
  raise_descriptor_limit();
  auto server = serving::Server::make(options.config);
  if (!server) return complain(server.error().message);
  for (const std::string& word : options.ignored)
    log::line(log::Level::debug, "option.ignored", "option=" + log::quoted(word));
  auto on_ready = [&ready] {
    log::line(log::Level::info, "mount.ready");
    if (!ready.valid()) return;
    let_go_of_stdio();
    (void)!::write(ready.get(), "", 1);
    ready.reset();
  };
  auto added = (*server)->add(options, subtype, on_ready);
  if (!added) return complain(added.error().message);
  if (::chdir("/") != 0) return complain(std::string("chdir /: ") + std::strerror(errno));
  (*server)->run();
  return 0;
}

int serve_in_background(const std::string& subtype, const config::MountOptions& options) {
  return in_background("the serving process", [&](base::Fd ready) {
    ::setsid();
    int status = serve(subtype, options, std::move(ready));
#ifdef __SANITIZE_ADDRESS__
    __lsan_do_leak_check();  // _Exit runs nothing
#endif
    return status;
  });
}

}  // namespace

int mount_program(const std::string& program, std::span<const char* const> arguments) {
  auto config = config::load_config(config::default_sources(environ));
  if (!config) return complain(config.error().message);
  // fuse-overlayfs's own switch, for file systems which take the device and lose it.
  if (std::getenv("FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT")) config->overlay.whiteout = "file";
  auto options = config::parse_mount_arguments(arguments, *config);
  if (!options) return complain(options.error().message);
  if (options->help) {
    std::fputs(config::mount_help().c_str(), stdout);
    return 0;
  }
  if (options->version) {
    std::fputs(version_text().c_str(), stdout);
    return 0;
  }
  if (options->foreground) return serve(program, *options, base::Fd());
  auto served = serving::mount_by_daemon({program, arguments, *config, *options});
  if (!served) return complain(served.error().message);
  return *served ? kDone : serve_in_background(program, *options);
}

}  // namespace cli
