#include "daemon/start.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/io.hpp"

extern char** environ;

namespace serving {
namespace {

constexpr int kStartSeconds = 15;
constexpr useconds_t kPause = 5000;  // microseconds between two looks

// What a daemon may know of whoever happened to start it: it outlives him.
constexpr std::string_view kInherited[] = {"PATH=",
                                           "HOME=",
                                           "TZ=",
                                           "LANG=",
                                           "LC_",
                                           "XDG_",
                                           "USERNETES_IDENTITY_",
                                           "ASAN_OPTIONS=",
                                           "UBSAN_OPTIONS=",
                                           "LSAN_OPTIONS="};

std::int64_t milliseconds_now() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

std::vector<char*> clean_environment() {
  std::vector<char*> kept;
  for (char** one = environ; *one; ++one) {
    std::string_view text = *one;
    if (std::any_of(std::begin(kInherited), std::end(kInherited),
                    [&](std::string_view start) { return text.starts_with(start); }))
      kept.push_back(*one);
  }
  kept.push_back(nullptr);
  return kept;
}

// The child's part: nothing of the caller's stays but what is named here.
[[noreturn]] void become_daemon(const std::string& path, int null, int complaints) {
  ::setsid();
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  ::dup2(null, 0);
  ::dup2(null, 1);
  ::dup2(complaints, 2);
  ::syscall(SYS_close_range, 3u, ~0u, 0u);
  std::string name = "usernetes-identity", verb = "daemon", how = "--autostart",
              option = "--socket", where = path;
  char* words[] = {name.data(), verb.data(), how.data(), option.data(), where.data(), nullptr};
  std::vector<char*> environment = clean_environment();
  ::execve("/proc/self/exe", words, environment.data());
  ::_exit(127);
}

std::string text_in(const base::Fd& file) {
  std::string text(4096, '\0');
  ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  constexpr std::string_view kOurs = "usernetes-identity: ";
  return text.starts_with(kOurs) ? text.substr(kOurs.size()) : text;
}

// The exit code of the child, which ends when its daemon serves; -1: not within the time.
int wait_for(pid_t child, std::int64_t until) {
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (milliseconds_now() > until) {
      ::kill(-child, SIGKILL);  // it has a session of its own
      ::waitpid(child, &status, 0);
      return -1;
    }
    ::usleep(kPause);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

base::Checked<base::Fd> lock(const std::string& path, std::int64_t until) {
  base::Fd file(::open((path + ".start").c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return base::refuse_errno(path + ".start");
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (milliseconds_now() > until)
      return base::refuse(path + ".start: another mount is starting a daemon, for " +
                          std::to_string(kStartSeconds) + " s now");
    ::usleep(kPause);
  }
  return file;
}

bool exists(const std::string& path) {
  struct stat st;
  return ::stat(path.c_str(), &st) == 0;
}

base::Failure wrong_namespace(const Client& daemon) {
  return {daemon.path() + ": its daemon (pid " + std::to_string(daemon.hello().pid) +
          ") serves another user namespace (uid map \"" + daemon.hello().maps.uids + "\", here \"" +
          IdMaps::of_this_process().uids + "\"): unset daemon.socket, or start a daemon here"};
}

// Nobody listens: not an error, unless that one was asked for by name.
base::Checked<std::optional<Client>> try_daemon(const std::string& path) {
  if (!somebody_listens(path)) return std::optional<Client>();
  TRY(client, Client::connect(path));
  return std::optional<Client>(std::move(client));
}

}  // namespace

base::Checked<bool> start_daemon(const std::string& path) {
  const std::int64_t until = milliseconds_now() + kStartSeconds * 1000;
  if (path.starts_with(runtime_dir() + "/")) TRY_VOID(open_runtime_dir());
  TRY(held, lock(path, until));
  if (somebody_listens(path)) return true;  // who had the lock before us has started it
  base::Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  base::Fd complaints(::memfd_create("stderr", MFD_CLOEXEC));
  if (!null.valid() || !complaints.valid()) return base::refuse_errno("starting a daemon");
  pid_t child = ::fork();
  if (child < 0) return base::refuse_errno("starting a daemon");
  if (child == 0) become_daemon(path, null.get(), complaints.get());
  int code = wait_for(child, until);
  if (somebody_listens(path)) return true;
  constexpr int kNoSuchVerb = 2;
  if (code == kNoSuchVerb) return false;
  std::string said = text_in(complaints);
  if (said.empty()) said = code < 0 ? "it does not listen" : "exit code " + std::to_string(code);
  return base::refuse("no daemon could be started (daemon.autostart): " + said);
}

base::Checked<std::optional<Client>> find_daemon(const config::Config& config, Purpose purpose) {
  IdMaps here = IdMaps::of_this_process();
  std::string chosen = config.daemon.socket;
  if (chosen.empty()) {
    std::string dir = runtime_dir();
    if (dir.empty() || !exists("/proc/self/uid_map")) return std::optional<Client>();
    bool elsewhere = false;
    for (const std::string& name : {service_socket(), namespace_socket(here)}) {
      TRY(known, try_daemon(dir + "/" + name));
      if (!known || known->hello().maps != here) continue;
      if (purpose == Purpose::files || known->hello().user_namespace == user_namespace())
        return known;
      elsewhere = true;
    }
    chosen =
        dir + "/" + (elsewhere ? namespace_socket(here, user_namespace()) : namespace_socket(here));
  }
  TRY(client, try_daemon(chosen));
  if (!client && config.daemon.autostart) {
    TRY(may_start, start_daemon(chosen));
    if (may_start) {
      TRY(started, Client::connect(chosen));
      client = std::move(started);
    }
  }
  if (!client && !config.daemon.socket.empty())
    return base::refuse(chosen +
                        ": no daemon listens there (daemon.socket): start it, or unset "
                        "daemon.socket");
  if (client && client->hello().maps != here) return tl::unexpected(wrong_namespace(*client));
  return client;
}

}  // namespace serving
