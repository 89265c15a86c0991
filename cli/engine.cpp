#include "cli/engine.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/io.hpp"
#include "base/wait.hpp"
#include "cli/planning.hpp"
#include "cli/supervised.hpp"
#include "daemon/user_namespace.hpp"
#include "images/podman.hpp"
#include "seccomp/container.hpp"

namespace cli {
namespace {

constexpr std::array<std::string_view, 7> kEngines = {"podman",  "buildah",    "skopeo", "ctr",
                                                      "nerdctl", "containerd", "docker"};

// Podman makes its namespaces, and the process that holds them, at its first use after a login.
bool let_podman_make_namespaces() {
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    ::execlp("podman", "podman", "unshare", "true", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  return base::wait_for(child) == 0;
}

// What podman's first process tells its second one (pkg/rootless of podman, pkg/unshare of
// containers/storage, which buildah and skopeo share).
void tell_engine(uid_t uid, gid_t gid) {
  ::setenv("_CONTAINERS_USERNS_CONFIGURED", "done", 1);
  ::setenv("_CONTAINERS_ROOTLESS_UID", std::to_string(uid).c_str(), 1);
  ::setenv("_CONTAINERS_ROOTLESS_GID", std::to_string(gid).c_str(), 1);
}

base::Checked<base::Unit> enter_namespaces() {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (uid == 0) return base::Unit{};
  char folder[PATH_MAX];
  if (!::getcwd(folder, sizeof folder)) return base::refuse_errno("working directory");
  auto pause = serving::open_pause_process();
  if (!pause && let_podman_make_namespaces()) pause = serving::open_pause_process();
  if (pause) {
    TRY_VOID(serving::enter_pause_process(*pause));
  } else {
    // No podman here: a namespace like its own, and mounts that are nobody else's.
    TRY_VOID(enter_pool());
    if (::unshare(CLONE_NEWNS) != 0) return base::refuse_errno("cannot make a mount namespace");
  }
  if (::chdir(folder) != 0)
    return base::refuse_errno(std::string(folder) + ": not to be reached from podman's namespace");
  tell_engine(uid, gid);
  return base::Unit{};
}

// Commands that write layers, and have nobody to tell an owner to: they look at each file several
// times, which need not cost a question each time. Where the word is not found at once, as after an
// option with a value, all is answered.
bool only_unpacks(const std::vector<std::string>& command) {
  if (!command.front().ends_with("podman") && !command.front().ends_with("buildah")) return false;
  for (std::size_t i = 1; i < command.size(); ++i) {
    const std::string& word = command[i];
    if (word.starts_with('-') || (word == "image" && i == 1)) continue;
    return word == "pull" || word == "load" || word == "import";
  }
  return false;
}

}  // namespace

bool is_engine(const std::string& program) {
  const std::size_t slash = program.rfind('/');
  const std::string_view name = std::string_view(program).substr(slash + 1);
  return std::find(kEngines.begin(), kEngines.end(), name) != kEngines.end();
}

base::Checked<base::Unit> enter_engine(const config::Config& config,
                                       const std::vector<std::string>& command) {
  TRY_VOID(enter_namespaces());
  TRY(daemon, SupervisorLink::open(config));
  seccomp::ContainerInfo info;
  info.id = "engine-" + std::to_string(::getpid());
  info.mode = seccomp::Mode::engine;
  info.profile = only_unpacks(command) ? seccomp::Profile::unpack : seccomp::Profile::engine;
  info.pid = ::getpid();
  TRY(loaded, daemon.supervise(info));
  if (!loaded)
    return base::refuse(
        "another supervisor has this process already, and the kernel allows one: owners that the "
        "pool lacks would be lost");
  return base::Unit{};
}

std::string engine_stores(const config::Config& config) {
  if (!config.engine.stores.empty()) return config.engine.stores;
  std::vector<std::string> stores;
  for (const std::string& root : images::podman_storages()) {
    stores.push_back(root + "/overlay");
    stores.push_back(root + "/vfs");
  }
  const char* data = std::getenv("XDG_DATA_HOME");
  const char* home = std::getenv("HOME");
  if (data && data[0] == '/') stores.push_back(std::string(data) + "/containerd");
  if (home && home[0] == '/') stores.push_back(std::string(home) + "/.local/share/containerd");
  stores.push_back("/var/lib/containerd");
  std::string text;
  for (const std::string& store : stores)
    if (store.find(':') == store.npos) text += (text.empty() ? "" : ":") + store;
  return text;
}

}  // namespace cli
