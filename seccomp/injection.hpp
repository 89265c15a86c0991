// Owns: making a thread that waits for our answer do its call with other arguments, or with a stop
// at its end, by ptrace(2). Called by: the handlers. Never: blocks in waitpid (SIGCHLD through a
// signalfd in the ring), leaves a thread stopped, or changes anything that is not put back.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.hpp"
#include "ring/reactor.hpp"
#include "ring/task.hpp"
#include "seccomp/notice.hpp"
#include "seccomp/tracee.hpp"

namespace seccomp {

/// Bytes of the thread's memory that are other ones while the call runs.
struct Overlay {
  std::uint64_t address = 0;
  std::vector<std::byte> bytes;
};

struct Rerun {
  std::array<std::optional<std::uint64_t>, 6> arguments{};  // instead of the task's own
  std::vector<Overlay> memory;  // written before, put back after; the call must fit in one process
                                // at a time: calls of one process with memory run one by one
  /// Called when the process's turn has come and nothing has been changed yet: more of `memory`, of
  /// what only then may be read, since another thread's call may have the same bytes under way.
  std::function<ring::Task<std::vector<Overlay>>()> prepare;
  /// Called at the exit stop with the call's result (>= 0, or -errno) if it is set; may read and
  /// write the task's memory; what it returns becomes the call's result.
  std::function<ring::Task<std::int64_t>(std::int64_t result)> after;
};

enum class Ran : std::uint8_t {
  done,     // the call has been made, or has failed with EFAULT for its memory; silence
  gone,     // the thread has died or left the call, which may be notified once more: silence
  traced,   // somebody else traces it (EPERM): nothing has happened yet
  refused,  // ptrace is forbidden here (Yama 3): nothing has happened yet
};

/// What a notification is to an injection.
enum class Expected : std::uint8_t {
  no,      // nothing: a call like any other
  resume,  // the second one of a call that is being run again: answer "continue"
  again,   // a signal was faster than the first stop: send error -512, as `restart` does; the
           // thread is about to stop
};

/// What is written down before a thread is changed, for a successor.
struct Injected {
  pid_t tid = 0;
  Notice notice;
  std::array<std::uint64_t, 6> arguments{};  // the replaced ones
  std::uint64_t signal_mask = 0;
};

class Injector {
 public:
  Injector(ring::Reactor& reactor, Tracees& tracees);
  ~Injector();
  Injector(const Injector&) = delete;
  Injector& operator=(const Injector&) = delete;

  /// `restart` sends error -512 (ERESTARTSYS) as the answer: with WAIT_KILLABLE_RECV an interrupt
  /// alone does not wake the task. ENOENT of it is no failure. `still`: whether the notification is
  /// valid, so that who is traced is who waits in it.
  ring::Task<Ran> run(Notice notice, Rerun rerun, Still still, std::function<void()> restart);
  /// Whether the thread stands still in the call that this notification began: a system call.
  bool holds(pid_t tid, std::uint64_t notification) const;
  /// To be asked for every notification before anything else is done with it.
  Expected expects(const Notice& notice);
  /// For a successor: puts right what a predecessor has left. `restart` sends error -512 to every
  /// notification of the thread that the predecessor had received and not answered; ones that come
  /// now: see expects(). The call is notified once more, with its own arguments.
  ring::Task<void> repair(Injected injected, std::function<void()> restart);
  /// Told before a thread is changed, and when it is as before.
  std::function<void(const Injected&)> on_begin;
  std::function<void(pid_t tid)> on_end;
  /// How many are under way.
  std::size_t running() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace seccomp
