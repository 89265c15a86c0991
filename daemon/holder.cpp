#include "daemon/holder.hpp"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>

#include "base/log.hpp"
#include "base/unix_socket.hpp"

namespace serving {
namespace {

namespace log = base::log;

constexpr std::int64_t kWatchdogMs = 30'000;  // as in our systemd unit
constexpr int kHandOverSeconds = 20;
constexpr std::size_t kMostKept = 65536;

std::int64_t now_ms() {
  timespec ts;
  ::clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000 + ts.tv_nsec / 1'000'000;
}

struct Datagram {
  std::string text;
  std::vector<base::Fd> fds;
  /// The value of NAME=value; "" without such a line.
  std::string_view value(std::string_view name) const {
    std::string_view rest = text;
    while (!rest.empty()) {
      std::string_view one = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(one.size() + 1, rest.size()));
      if (one.size() > name.size() && one[name.size()] == '=' && one.starts_with(name))
        return one.substr(name.size() + 1);
    }
    return {};
  }
};

// Nothing when there is none (`flags` MSG_DONTWAIT), or the other end is closed.
std::optional<Datagram> receive(const base::Fd& socket, int flags) {
  std::array<char, 4096> bytes;
  Datagram got;
  auto received = base::receive_with_fds(socket.get(), bytes, got.fds, flags);
  if (!received || received->size == 0) return std::nullopt;
  got.text.assign(bytes.data(), received->size);
  if (received->lost_fds)
    log::line(log::Level::error, "holder.lost_descriptors", "reason=\"too many are open\"");
  return got;
}

bool same_file(int a, int b) {
  pid_t self = ::getpid();
  return ::syscall(SYS_kcmp, self, self, KCMP_FILE, a, b) == 0;
}

// Messages about descriptors; what a predecessor sends is the same.
void keep(NamedFds& kept, Datagram message) {
  std::string name(message.value("FDNAME"));
  if (!Keeper::valid_name(name)) return;
  if (message.value("FDSTOREREMOVE") == "1") kept.erase(name);
  if (message.value("FDSTORE") != "1") return;
  for (base::Fd& fd : message.fds) {
    auto [first, last] = kept.equal_range(name);
    bool known = std::any_of(
        first, last, [&](const auto& one) { return same_file(one.second.get(), fd.get()); });
    if (!known && kept.size() < kMostKept) kept.emplace(name, std::move(fd));
  }
}

class Holder {
 public:
  explicit Holder(Holding holding)
      : holding_(std::move(holding)), kept_(std::move(holding_.kept)) {}
  int run();

 private:
  bool start();
  void ready();
  void wait();
  void take_messages();
  void on_signals();
  int ended(int status);
  bool hand_over();

  Holding holding_;
  NamedFds kept_;
  base::Fd signals_, notify_;
  pid_t child_ = -1;
  std::int64_t started_ = 0, heard_ = 0;
  bool was_ready_ = false;
  bool stopping_ = false;
  bool dead_ = false;
  int status_ = 0;
  Patience patience_;
};

sigset_t watched_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1}) ::sigaddset(&set, number);
  return set;
}

bool Holder::start() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return false;
  base::Fd ours(ends[0]), theirs(ends[1]);
  child_ = ::fork();
  if (child_ < 0) return false;
  if (child_ == 0) {
    notify_.reset();
    signals_.reset();
    ours.reset();
    holding_.on_ready = nullptr;
    holding_.predecessor.reset();
    ::setpgid(0, 0);  // a terminal's ^C is for the holder, which passes it on
    sigset_t set = watched_signals();
    ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
    Keeper keeper =
        Keeper::over(std::move(theirs), std::move(kept_), std::chrono::milliseconds(kWatchdogMs));
    std::_Exit(holding_.daemon(std::move(keeper)));
  }
  notify_ = std::move(ours);
  started_ = heard_ = now_ms();
  dead_ = false;
  return true;
}

// A predecessor which has lost its patience serves again: there must not be two of us.
void Holder::ready() {
  if (holding_.predecessor.valid()) {
    constexpr std::string_view kTaken = "READY=1";
    if (::send(holding_.predecessor.get(), kTaken.data(), kTaken.size(), MSG_NOSIGNAL) < 0) {
      log::line(log::Level::error, "holder.too_late");
      stopping_ = true;
      ::kill(child_, SIGKILL);
      return;
    }
    holding_.predecessor.reset();
  }
  if (holding_.on_ready) std::exchange(holding_.on_ready, nullptr)();
}

void Holder::take_messages() {
  while (auto message = receive(notify_, MSG_DONTWAIT)) {
    if (message->value("WATCHDOG") == "1") heard_ = now_ms();
    if (message->value("READY") == "1" && !std::exchange(was_ready_, true)) ready();
    keep(kept_, std::move(*message));
  }
}

void Holder::on_signals() {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) {
      if (::waitpid(child_, &status_, WNOHANG) == child_) dead_ = true;
      continue;
    }
    // The daemon knows what they mean. A second request to stop is not waited for.
    int number = static_cast<int>(info.ssi_signo);
    bool stop = number == SIGTERM || number == SIGINT;
    if (stop && std::exchange(stopping_, true)) number = SIGKILL;
    if (child_ > 0 && !dead_) ::kill(child_, number);
  }
}

// Until there is a message, a signal or the daemon has been silent for too long.
void Holder::wait() {
  pollfd watched[] = {{signals_.get(), POLLIN, 0}, {notify_.get(), POLLIN, 0}};
  std::int64_t left = heard_ + kWatchdogMs - now_ms();
  ::poll(watched, 2, static_cast<int>(was_ready_ ? std::max<std::int64_t>(left, 0) : -1));
  take_messages();
  on_signals();
  // Its end of the socket is closed a moment before it is dead.
  if (!dead_ && watched[1].revents & (POLLHUP | POLLERR)) ::poll(watched, 1, 100);
  if (was_ready_ && !dead_ && now_ms() - heard_ > kWatchdogMs) {
    log::line(log::Level::error, "holder.watchdog",
              "pid=" + std::to_string(child_) + " silent_ms=" + std::to_string(now_ms() - heard_));
    ::kill(child_, SIGABRT);
    heard_ = now_ms();
  }
}

// The exit code if this is the end, or -1.
int Holder::ended(int status) {
  take_messages();
  bool exited = WIFEXITED(status);
  int code = exited ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (code == 0 || stopping_ || !was_ready_) return exited ? code : 1;
  if (code == kRestartCode) return hand_over() ? 0 : -1;
  std::int64_t life = now_ms() - started_;
  int pause = patience_.after_life(life);
  log::line(log::Level::error, pause < 0 ? "holder.give_up" : "holder.restart",
            "pid=" + std::to_string(child_) + (exited ? " exit=" : " signal=") +
                std::to_string(exited ? code : WTERMSIG(status)) +
                " lived_ms=" + std::to_string(life) + " kept=" + std::to_string(kept_.size()));
  if (pause < 0) return 1;
  pollfd watched{signals_.get(), POLLIN, 0};
  child_ = -1;
  if (pause > 0 && ::poll(&watched, 1, pause) > 0) on_signals();
  return stopping_ ? 1 : -1;
}

// To the holder of a newer build. False: there is none, or it has not taken them; all is as before.
bool Holder::hand_over() {
  auto found = kept_.find(kSuccessor);
  if (found == kept_.end()) return false;
  base::Fd socket = std::move(found->second);
  kept_.erase(kSuccessor);
  timeval patience{.tv_sec = kHandOverSeconds, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  Keeper out = Keeper::over(std::move(socket), {});
  for (const auto& [name, fd] : kept_) out.store(name, fd.get());
  out.status("all");
  out.flush(std::chrono::seconds(10));
  auto answer = receive(out.socket(), 0);
  bool taken = answer && answer->value("READY") == "1";
  log::line(taken ? log::Level::info : log::Level::error, "holder.handed_over",
            "descriptors=" + std::to_string(kept_.size()) + " taken=" + (taken ? "yes" : "no"));
  return taken;
}

int Holder::run() {
  sigset_t set = watched_signals();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_ = base::Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  for (;;) {
    if (!start()) {
      log::line(log::Level::error, "holder.start", "error=" + log::quoted(std::strerror(errno)));
      return 1;
    }
    while (!dead_) wait();
    if (int code = ended(status_); code >= 0) return code;
  }
}

}  // namespace

int Patience::after_life(std::int64_t milliseconds) {
  constexpr std::int64_t kShort = 1000;
  if (milliseconds >= kShort) short_lives_ = 0;
  if (++short_lives_ <= kAtOnce) return 0;
  if (short_lives_ > kMost) return -1;
  return std::min(1000, 25 << (short_lives_ - kAtOnce));
}

int hold(Holding holding) {
  return Holder(std::move(holding)).run();
}

base::Checked<NamedFds> take_from_predecessor(const base::Fd& socket) {
  NamedFds kept;
  while (auto message = receive(socket, 0)) {
    if (message->value("STATUS") == "all") return kept;
    keep(kept, std::move(*message));
  }
  return base::refuse("the daemon that was to be replaced has not handed over its descriptors");
}

}  // namespace serving
