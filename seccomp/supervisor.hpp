// Owns: all listeners of a namespace, their containers, and the way of a notification to its
// handler and back. Called by: daemon/supervision. Never: loses a notification, answers one twice,
// or lets one container's calls wait for another's.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "ring/reactor.hpp"
#include "seccomp/calls.hpp"
#include "seccomp/container.hpp"
#include "seccomp/device_source.hpp"
#include "seccomp/injection.hpp"
#include "seccomp/owner_source.hpp"
#include "seccomp/tracee.hpp"

namespace seccomp {

/// The user namespace of a container's tasks. A map's `outside` are ids of our namespace, also
/// where theirs is ours.
struct Origin {
  std::uint64_t user_namespace = 0;  // inode
  std::string uid_map, gid_map;
};

/// Where notifications that are under way are written down, for a successor. One per listener.
class NoticeLog {
 public:
  virtual ~NoticeLog() = default;
  /// Once, as soon as it is known: at the latest with the first notification.
  virtual void origin(const Origin& origin) = 0;
  /// Where the kernel writes what is received, so that there is no moment in which a notification
  /// is ours and not written down. What is there stays until the next is received.
  virtual std::span<std::uint64_t> receiving() = 0;
  virtual void begin(const Notice& notice) = 0;
  virtual void end(std::uint64_t id) = 0;
  virtual void begin(const Injected& injected) = 0;
  virtual void end_injection(pid_t tid) = 0;
};

/// What the daemon before us was about.
struct Unfinished {
  std::optional<Origin> origin;  // not set: nothing was answered yet
  std::uint64_t newest = 0;      // id of the last notification that was received; 0: none
  std::vector<Notice> notices;
  std::vector<Injected> injections;
};

class Supervisor {
 public:
  struct Slots {
    std::shared_ptr<identity::LiveSlots> uids, gids;
  };
  Supervisor(ring::Reactor& reactor, Slots slots);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Answers the listener's calls from now on. Listeners with the same info.id, mode and user
  /// namespace are one container's. info.pid 0, or of a process that is gone: whoever makes the
  /// first call tells the namespace. The number is told to on_gone. `unfinished`: is handled first.
  base::Checked<std::uint64_t> add(base::Fd listener, const ContainerInfo& info,
                                   std::unique_ptr<NoticeLog> log = nullptr,
                                   Unfinished unfinished = {});
  /// The last task of a listener is gone.
  std::function<void(std::uint64_t number)> on_gone;
  /// Before that, if it was the container's last listener.
  std::function<void(const Container&)> on_container_gone;
  /// A pool id has got another slot by a call: mounts must show it anew.
  std::function<void()> on_moved;
  /// Of the engine; nullptr: none.
  OwnerSource* owners = nullptr;
  /// Of the mounts of this process; nullptr: device nodes are the kernel's business.
  DeviceSource* devices = nullptr;

  std::vector<std::shared_ptr<const Container>> containers() const;
  std::size_t listeners() const;

  // For the handlers.
  ring::Reactor& reactor();
  Tracees& tracees();
  Injector& injector();
  /// Lets the call run again as `rerun` says, and makes an answer of what came of it. A task that
  /// is traced by others gets `otherwise`.
  ring::Task<Answer> run_again(Call call, Rerun rerun, Answer otherwise = Answer::fail(EPERM));
  /// Says once in a while, by container: event=supervise.NAME container=… DETAILS.
  void tell(const Container& container, std::string_view name, const std::string& details);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace seccomp
