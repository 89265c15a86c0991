#include "seccomp/stops.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <cerrno>
#include <utility>

namespace seccomp {
namespace {

// When another thread execs, the number of the first one passes to it without a signal.
constexpr std::uint32_t kLookAgainMs = 250;

}  // namespace

Traced::Traced(Stops& stops, pid_t tid) : stops_(stops), tid_(tid) {
  stops_.all_.insert(this);
  stops_.look_again();
}

Traced::~Traced() {
  stops_.all_.erase(this);
}

bool Traced::look() {
  if (status_ || over_) return true;
  if (!begun_) return false;
  int status = 0;
  pid_t who = ::waitpid(tid_, &status, __WALL | WNOHANG);
  if (who == 0 || (who < 0 && errno == EINTR)) return false;
  if (who == tid_ && WIFSTOPPED(status))
    status_ = status;
  else
    over_ = true;  // it has ended, or is none of ours any more
  return true;
}

// A status that was told may be older than the end of its thread.
bool Traced::is_ours() {
  look();
  siginfo_t info;
  const int asked = WEXITED | WSTOPPED | WNOWAIT | WNOHANG | __WALL;
  if (status_ && ::waitid(P_PID, static_cast<id_t>(tid_), &info, asked) != 0 && errno == ECHILD)
    over_ = true;
  return !over_;
}

std::optional<int> Traced::Next::await_resume() const {
  return std::exchange(traced.status_, std::nullopt);
}

Stops::Stops(ring::Reactor& reactor) : reactor_(reactor) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &set, &before_);
  ::signal(SIGCHLD, SIG_DFL);  // who ignores it is not told of stops
  signals_ = base::Fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  watch_ = reactor_.watch(signals_.get(), POLLIN, [this](int) { on_signal(); });
}

Stops::~Stops() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  if (!::sigismember(&before_, SIGCHLD)) ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

void Stops::on_signal() {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
  }
  look_at_all();
}

// One signal may stand for many: who sent it does not matter. One that nobody waits for stands, and
// can only have been killed: its parent, or its pid namespace, waits for us to have seen it.
void Stops::look_at_all() {
  for (Traced* one : all_)
    if (one->look() && one->waiter_)
      reactor_.defer([waiter = std::exchange(one->waiter_, nullptr)] { waiter.resume(); });
}

void Stops::look_again() {
  if (ticking_) return;
  ticking_ = true;
  again_ = reactor_.after(kLookAgainMs, [this] {
    ticking_ = false;
    look_at_all();
    if (!all_.empty()) look_again();
  });
}

}  // namespace seccomp
