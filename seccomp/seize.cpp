#include "seccomp/seize.hpp"

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>

#include <cerrno>
#include <csignal>

namespace seccomp {
namespace {

constexpr long kMostNs = 1'000'000;
constexpr long kNoRequest = 0x7fffffff;  // of ptrace: there is none of that number

volatile sig_atomic_t given_up = 0;

// The kernel restarts the call after the handler, whatever SA_RESTART says: so another request is
// put in its place. When the call is over already, its number is not in the register any more.
void give_up(int, siginfo_t*, void* context) {
  mcontext_t& thread = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  if (thread.gregs[REG_RAX] != SYS_ptrace || thread.gregs[REG_RDI] != PTRACE_SEIZE) return;
  thread.gregs[REG_RDI] = kNoRequest;
#elif defined(__aarch64__)
  if (thread.regs[8] != SYS_ptrace || thread.regs[0] != PTRACE_SEIZE) return;
  thread.regs[0] = kNoRequest;
#endif
  given_up = 1;
}

struct Clock {
  Clock() {
    number = SIGRTMIN + 3;
    struct sigaction action {};
    action.sa_sigaction = give_up;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    ::sigfillset(&action.sa_mask);
    ::sigaction(number, &action, nullptr);
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, number);
    ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = number;
    works = ::timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
  }
  void set(long nanoseconds) const {
    itimerspec when{};
    when.it_value.tv_nsec = nanoseconds;
    // Once more after that, for the case that the first comes before the call has begun.
    when.it_interval.tv_nsec = nanoseconds;
    if (works) ::timer_settime(timer, 0, &when, nullptr);
  }
  int number = 0;
  timer_t timer{};
  bool works = false;
};

}  // namespace

int seize(pid_t tid) {
  static const Clock clock;
  given_up = 0;
  clock.set(kMostNs);
  long done = ::syscall(SYS_ptrace, PTRACE_SEIZE, tid, nullptr, PTRACE_O_TRACESYSGOOD);
  int error = done == 0 ? 0 : errno;
  clock.set(0);
  return given_up ? EAGAIN : error;
}

}  // namespace seccomp
