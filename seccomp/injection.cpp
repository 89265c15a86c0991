#include "seccomp/injection.hpp"

#include <sys/ptrace.h>
#include <sys/wait.h>

#include <csignal>
#include <map>
#include <unordered_map>
#include <utility>

#include "seccomp/registers.hpp"
#include "seccomp/seize.hpp"
#include "seccomp/stops.hpp"
#include "seccomp/turns.hpp"

namespace seccomp {
namespace {

constexpr std::uint64_t kAllSignals = ~0ull;
constexpr std::uint64_t kUnblockable = 1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1);

constexpr std::uint32_t kRetryMs = 20;
constexpr unsigned kMostTries = 100;

enum class Phase : std::uint8_t {
  stopping,  // interrupted, and not stopped yet
  changed,   // its registers are ours
  running,   // behind the stop at the entry of the call
};

// What a stop is.
enum class Stop : std::uint8_t { call, interrupt, signal, group };

Stop kind_of(int status) {
  if (WSTOPSIG(status) == (SIGTRAP | 0x80)) return Stop::call;
  if (status >> 16 == PTRACE_EVENT_STOP)
    return WSTOPSIG(status) == SIGTRAP ? Stop::interrupt : Stop::group;
  return Stop::signal;
}

// The signal that a thread in such a stop shall have when it goes on.
int signal_of(int status) {
  return kind_of(status) == Stop::signal ? WSTOPSIG(status) : 0;
}

bool ptrace_call(__ptrace_request request, pid_t tid, std::uint64_t data = 0) {
  return ::ptrace(request, tid, nullptr, data) == 0;
}

std::optional<std::uint64_t> signal_mask(pid_t tid) {
  std::uint64_t mask = 0;
  if (::ptrace(PTRACE_GETSIGMASK, tid, sizeof mask, &mask) != 0) return std::nullopt;
  return mask;
}

bool set_signal_mask(pid_t tid, std::uint64_t mask) {
  return ::ptrace(PTRACE_SETSIGMASK, tid, sizeof mask, &mask) == 0;
}

}  // namespace

// A thread from its seizing to its detaching.
struct Job {
  Job(Stops& stops, Injected injected_, Rerun rerun_)
      : traced(stops, injected_.tid), injected(std::move(injected_)), rerun(std::move(rerun_)) {}
  Traced traced;
  Injected injected;
  Rerun rerun;
  Phase phase = Phase::stopping;
  Still still;                               // whether its notification is valid
  bool other = false;                        // another thread has its number
  std::array<std::uint64_t, 6> arguments{};  // the registers' own
  std::vector<Overlay> before;               // what the memory had
  pid_t tid() const { return injected.tid; }
  const Notice& notice() const { return injected.notice; }
  // Of a thread that was killed, and of another one that has its number since, the kernel tells
  // nothing.
  bool stands() const { return signal_mask(tid()).has_value(); }
};

struct Injector::State {
  State(Injector& i, ring::Reactor& reactor, Tracees& t)
      : self(i), tracees(t), stops(reactor), turns(reactor, 1), patient(reactor, 1) {}
  Injector& self;
  Tracees& tracees;
  Stops stops;
  Turns turns;    // of processes whose memory is changed
  Turns patient;  // who could not be seized at once
  std::unordered_map<pid_t, Job*> jobs;

  ring::Task<std::optional<Ran>> acquire(Job& job, std::function<void()> restart);
  int try_seize(Job& job);
  ring::Task<Ran> why_not(pid_t tid);
  void forget(Job& job);
  ring::Task<void> end_of(Job& job);
  ring::Task<void> detach(Job& job, int signal);
  ring::Task<void> put_back(Job& job, int signal);
  ring::Task<base::Result<>> write_memory(Job& job);
  ring::Task<void> restore_memory(Job& job);
  bool change(Job& job, const base::Result<>& memory, int signal);
  ring::Task<std::optional<Ran>> first_stop(Job& job);
  ring::Task<std::optional<Ran>> until_entry(Job& job);
  ring::Task<std::optional<Ran>> until_exit(Job& job);
  ring::Task<Ran> finish(Job& job);
  ring::Task<Ran> drive(Job& job);
  ring::Task<void> mend(Job& job);
};

int Injector::State::try_seize(Job& job) {
  if (auto stale = jobs.find(job.tid()); stale != jobs.end()) stale->second->traced.look();
  const int error = seize(job.tid());
  if (error != 0) return error;
  jobs[job.tid()] = &job;
  job.traced.begin();
  // Asked before the interrupt, which ends the notification.
  job.other = job.still && !job.still();
  ptrace_call(PTRACE_INTERRUPT, job.tid());
  return 0;
}

// What EPERM of PTRACE_SEIZE means.
ring::Task<Ran> Injector::State::why_not(pid_t tid) {
  std::string tracer = co_await tracees.status_word(tid, "TracerPid:");
  std::string life = co_await tracees.status_word(tid, "State:");
  if (tracer.empty() || life.starts_with('Z') || life.starts_with('X')) co_return Ran::gone;
  co_return tracer == "0" ? Ran::refused : Ran::traced;
}

// Nothing: it is ours, and about to stop. A process that is about to exec lets nobody trace it
// until its program has been read. Its threads are tried now and then, one at a time, so that many
// of them can not keep the reactor from its work.
ring::Task<std::optional<Ran>> Injector::State::acquire(Job& job, std::function<void()> restart) {
  int error = try_seize(job);
  for (unsigned tries = 0; error == EAGAIN && tries < kMostTries; ++tries) {
    Turns::Turn turn;
    const bool still_wanted = co_await patient.wait(0, job.tid(), turn);
    if (!still_wanted) co_return Ran::gone;
    ring::Event later(stops.reactor());
    ring::Timer timer = stops.reactor().after(kRetryMs, [&later] { later.fire(); });
    co_await later.wait();
    error = try_seize(job);
  }
  if (error == 0) {
    if (restart) restart();
    co_return std::nullopt;
  }
  if (error == ESRCH) co_return Ran::gone;
  if (error == EAGAIN) co_return Ran::refused;
  Ran why = co_await why_not(job.tid());
  co_return why;
}

void Injector::State::forget(Job& job) {
  auto found = jobs.find(job.tid());
  if (found != jobs.end() && found->second == &job) jobs.erase(found);
}

// A thread that does not obey any more has been killed; until we have looked at that, its parent
// does not hear of it.
ring::Task<void> Injector::State::end_of(Job& job) {
  while (!job.traced.over()) {
    auto status = co_await job.traced.next();
    if (status && ptrace_call(PTRACE_DETACH, job.tid(), signal_of(*status))) break;
  }
  forget(job);
}

ring::Task<void> Injector::State::detach(Job& job, int signal) {
  if (!job.traced.over() && ptrace_call(PTRACE_DETACH, job.tid(), signal)) {
    forget(job);
    co_return;
  }
  co_await end_of(job);
}

ring::Task<base::Result<>> Injector::State::write_memory(Job& job) {
  Still stands = [&job] { return job.stands(); };
  for (std::size_t i = 0; i < job.rerun.memory.size(); ++i) {
    const Overlay& overlay = job.rerun.memory[i];
    Overlay before{overlay.address, std::vector<std::byte>(overlay.bytes.size())};
    CO_TRY_VOID(co_await tracees.read(job.tid(), before.address, before.bytes));
    job.before.push_back(std::move(before));
    CO_TRY_VOID(co_await tracees.write(job.tid(), overlay.address, overlay.bytes, stands));
  }
  co_return base::Unit{};
}

ring::Task<void> Injector::State::restore_memory(Job& job) {
  if (job.traced.over()) job.before.clear();
  Still stands = [&job] { return job.stands(); };
  while (!job.before.empty()) {
    const Overlay& last = job.before.back();
    (void)co_await tracees.write(job.tid(), last.address, last.bytes, stands);
    job.before.pop_back();
  }
}

// In a stop on the way out of the kernel, or in one at the exit of the call: everything as it was
// but the result, and the thread goes its way.
ring::Task<void> Injector::State::put_back(Job& job, int signal) {
  co_await restore_memory(job);
  auto registers = job.traced.over() ? std::nullopt : Registers::of(job.tid(), job.notice().arch);
  if (registers && job.phase != Phase::stopping) {
    const bool behind = job.phase == Phase::running;
    for (unsigned i = 0; i < 6; ++i)
      if (job.rerun.arguments[i] && !(behind && Registers::holds_result(i)))
        registers->set_argument(i, job.arguments[i]);
    registers->write(job.tid());
    set_signal_mask(job.tid(), job.injected.signal_mask);
  }
  co_await detach(job, signal);
  if (job.phase != Phase::stopping && self.on_end) self.on_end(job.tid());
}

// The thread stands where the call is about to be made once more. False: it is gone.
bool Injector::State::change(Job& job, const base::Result<>& memory, int signal) {
  auto registers = Registers::of(job.tid(), job.notice().arch);
  if (!registers) return false;
  if (!memory) {
    registers->finish(job.notice(), memory.error().value == EFAULT ? -EFAULT : -EPERM);
    return registers->write(job.tid());
  }
  for (unsigned i = 0; i < 6; ++i)
    if (job.rerun.arguments[i]) registers->set_argument(i, *job.rerun.arguments[i]);
  return registers->write(job.tid()) && ptrace_call(PTRACE_SYSCALL, job.tid(), signal);
}

// These end early with what has become of the call, or with nothing: go on.

// Up to the place where the thread is about to make the call again, and its changing there.
ring::Task<std::optional<Ran>> Injector::State::first_stop(Job& job) {
  auto status = co_await job.traced.next();
  if (!status) {
    forget(job);
    co_return Ran::gone;
  }
  const Stop kind = kind_of(*status);
  const int signal = signal_of(*status);
  auto registers = Registers::of(job.tid(), job.notice().arch);
  auto mask = signal_mask(job.tid());
  // A signal that can not be blocked, or a stop of the whole process, comes first; the call is
  // notified again after it. So it is when the thread is somewhere else altogether.
  if (job.other || kind == Stop::group || kind == Stop::call || signal == SIGSTOP || !registers ||
      !mask || !registers->restarts(job.notice(), job.notice().arguments)) {
    co_await detach(job, signal);
    co_return Ran::gone;
  }
  job.injected.signal_mask = *mask;
  for (unsigned i = 0; i < 6; ++i) job.arguments[i] = registers->argument(i);
  if (self.on_begin) self.on_begin(job.injected);
  job.phase = Phase::changed;
  // No handler may run between here and the end. A signal that has come already waits, too: the
  // kernel queues one again that is blocked by the time it would be delivered.
  set_signal_mask(job.tid(), kAllSignals);
  auto memory = co_await write_memory(job);
  if (job.traced.over() || !change(job, memory, signal)) {
    co_await end_of(job);
    if (self.on_end) self.on_end(job.tid());
    co_return Ran::gone;
  }
  if (memory) co_return std::nullopt;
  co_await restore_memory(job);
  set_signal_mask(job.tid(), job.injected.signal_mask);
  co_await detach(job, signal);
  if (self.on_end) self.on_end(job.tid());
  co_return Ran::done;
}

ring::Task<std::optional<Ran>> Injector::State::until_entry(Job& job) {
  for (;;) {
    auto status = co_await job.traced.next();
    if (!status) break;
    const Stop kind = kind_of(*status);
    if (kind == Stop::group || kind == Stop::signal) {  // only SIGSTOP is not blocked
      co_await put_back(job, signal_of(*status));
      co_return Ran::gone;
    }
    if (kind == Stop::call) job.phase = Phase::running;
    if (!ptrace_call(PTRACE_SYSCALL, job.tid())) break;
    if (kind == Stop::call) co_return std::nullopt;
  }
  co_await end_of(job);
  if (self.on_end) self.on_end(job.tid());
  co_return Ran::gone;
}

// To the exit of the call, or, if it was cut short by a stop of the process, to the place where it
// would be made again with our arguments: it shall be notified with its own ones instead.
ring::Task<std::optional<Ran>> Injector::State::until_exit(Job& job) {
  auto status = co_await job.traced.next();
  if (status && kind_of(*status) == Stop::call) {
    auto registers = Registers::of(job.tid(), job.notice().arch);
    if (registers && !registers->cut_short()) co_return std::nullopt;
    if (registers) {
      job.phase = Phase::changed;
      ptrace_call(PTRACE_INTERRUPT, job.tid());
      ptrace_call(PTRACE_CONT, job.tid());
      status = co_await job.traced.next();
    }
  }
  co_await put_back(job, status ? signal_of(*status) : 0);
  co_return Ran::gone;
}

ring::Task<Ran> Injector::State::finish(Job& job) {
  if (job.rerun.after) {
    auto registers = Registers::of(job.tid(), job.notice().arch);
    if (registers) {
      const std::int64_t was = registers->result();
      const std::int64_t now = co_await job.rerun.after(was);
      if (now != was && !job.traced.over()) {
        registers->set_result(now);
        registers->write(job.tid());
      }
    }
  }
  co_await put_back(job, 0);
  co_return job.traced.over() ? Ran::gone : Ran::done;
}

ring::Task<Ran> Injector::State::drive(Job& job) {
  auto early = co_await first_stop(job);
  if (early) co_return *early;
  early = co_await until_entry(job);
  if (early) co_return *early;
  early = co_await until_exit(job);
  if (early) co_return *early;
  Ran ran = co_await finish(job);
  co_return ran;
}

Injector::Injector(ring::Reactor& reactor, Tracees& tracees)
    : state_(std::make_unique<State>(*this, reactor, tracees)) {}
Injector::~Injector() = default;

ring::Task<Ran> Injector::run(Notice notice, Rerun rerun, Still still,
                              std::function<void()> restart) {
  State& state = *state_;
  state.tracees.changes(notice.tid);
  Injected injected{notice.tid, notice, notice.arguments, 0};
  for (unsigned i = 0; i < 6; ++i)
    if (rerun.arguments[i]) injected.arguments[i] = *rerun.arguments[i];
  Turns::Turn turn;
  if (!rerun.memory.empty() || rerun.prepare) {
    auto process = state.tracees.process(notice.tid);
    if (!process) co_return Ran::gone;
    const bool still_wanted =
        co_await state.turns.wait(static_cast<std::uint64_t>(*process), notice.tid, turn);
    if (!still_wanted) co_return Ran::gone;
    std::vector<Overlay> more;
    if (rerun.prepare) more = co_await rerun.prepare();
    for (Overlay& overlay : more) rerun.memory.push_back(std::move(overlay));
  }
  if (still && !still()) co_return Ran::gone;
  Job job(state.stops, std::move(injected), std::move(rerun));
  job.still = std::move(still);
  auto refused = co_await state.acquire(job, std::move(restart));
  if (refused) co_return *refused;
  Ran ran = co_await state.drive(job);
  co_return ran;
}

// The thread has gone on when its tracer died: it waits with our arguments, has just come back with
// them, or runs on with all signals blocked. Only what bears our mark is touched.
ring::Task<void> Injector::State::mend(Job& job) {
  auto status = co_await job.traced.next();
  if (!status) {
    forget(job);
    co_return;
  }
  auto registers = Registers::of(job.tid(), job.notice().arch);
  auto mask = signal_mask(job.tid());
  const auto& ours = job.injected.arguments;
  if (registers && mask && (*mask | kUnblockable) == kAllSignals) {
    const bool again = registers->restarts(job.notice(), ours);
    if (again || registers->stands_behind(job.notice(), ours)) {
      for (unsigned i = 0; i < 6; ++i)
        if (ours[i] != job.notice().arguments[i] && (again || !Registers::holds_result(i)))
          registers->set_argument(i, job.notice().arguments[i]);
      registers->write(job.tid());
    }
    set_signal_mask(job.tid(), job.injected.signal_mask);
  }
  co_await detach(job, signal_of(*status));
}

ring::Task<void> Injector::repair(Injected injected, std::function<void()> restart) {
  Job job(state_->stops, injected, {});
  auto refused = co_await state_->acquire(job, std::move(restart));
  if (!refused) co_await state_->mend(job);
  if (on_end) on_end(injected.tid);
}

Expected Injector::expects(const Notice& notice) {
  auto found = state_->jobs.find(notice.tid);
  if (found == state_->jobs.end()) return Expected::no;
  Job& job = *found->second;
  if (!job.traced.is_ours()) return Expected::no;  // another thread's number now
  return job.phase == Phase::running ? Expected::resume : Expected::again;
}

bool Injector::holds(pid_t tid, std::uint64_t notification) const {
  auto found = state_->jobs.find(tid);
  return found != state_->jobs.end() && found->second->notice().id == notification &&
         found->second->stands();
}

std::size_t Injector::running() const {
  return state_->jobs.size();
}

}  // namespace seccomp
