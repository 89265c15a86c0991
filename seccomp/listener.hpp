// Owns: one listener descriptor: receiving its notifications, and sending each its answer. Called
// by: the Supervisor. Never: waits in the kernel (SECCOMP_IOCTL_NOTIF_RECV blocks, O_NONBLOCK or
// not, unless poll(2) has just said that there is something), or answers twice.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/fd.hpp"
#include "ring/reactor.hpp"
#include "seccomp/calls.hpp"
#include "seccomp/supervisor.hpp"

namespace seccomp {

/// What the kernel has written of a notification (struct seccomp_notif); nothing: it has not, or
/// there is no room for one.
std::optional<Notice> read_notice(std::span<const std::uint64_t> memory);

/// A listener's system calls (seccomp_unotify(2)).
class NoticeFd {
 public:
  /// The message says what the descriptor is not.
  static base::Checked<NoticeFd> adopt(base::Fd fd);
  enum class Ready : std::uint8_t { nothing, notice, gone };
  /// gone: the last task with this filter has died, and there will be no more.
  Ready look() const;
  /// After look() has said `notice`. ENOENT: it was withdrawn meanwhile. The kernel writes it into
  /// `into` if that is large enough, else into memory of ours.
  base::Result<Notice> receive(std::span<std::uint64_t> into = {});
  /// ENOENT: the task does not wait any more.
  base::Result<> send(std::uint64_t id, Answer answer) const;
  bool still_valid(std::uint64_t id) const;
  int get() const { return fd_.get(); }
  /// The tasks run where we answer them, and we where they ask (Linux 6.6).
  bool synchronous() const { return synchronous_; }

 private:
  NoticeFd(base::Fd fd, std::size_t room) : fd_(std::move(fd)), buffer_(room) {}
  base::Fd fd_;
  bool synchronous_ = false;
  std::vector<std::uint64_t> buffer_;  // as large as this kernel wants it
};

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  struct Hooks {
    /// The container that a task is of, which makes the first call. ESRCH: it is gone; anything
    /// else: we shall never know.
    std::function<base::Result<std::shared_ptr<Container>>(const Listener&, pid_t)> find_container;
    std::function<void()> on_gone;
    std::function<void()> after_call;  // of a handler which may have given ids slots
  };
  Listener(Supervisor& supervisor, NoticeFd fd, ContainerInfo info, std::unique_ptr<NoticeLog> log,
           Hooks hooks);
  ~Listener();

  /// Serves `unfinished`, and then what comes.
  void start(const Unfinished& unfinished);
  /// Lets a task that waits do its call once more, see Injector.
  void restart(std::uint64_t id);
  void belongs_to(std::shared_ptr<Container> container);
  /// The supervisor ends before the reactor: nothing more is answered.
  void abandon();
  const ContainerInfo& info() const { return info_; }
  const std::shared_ptr<Container>& container() const { return container_; }
  NoticeLog* log() const { return log_.get(); }

 private:
  void let_orphans_go(const Unfinished& unfinished);
  void watch();
  void answered_at_once();
  void come_near();
  void near_is_ready(int events);
  void receive();
  void drain();
  void drain_later();
  void handle(const Notice& notice);
  Call call_of(const Notice& notice, const Row& row);
  static ring::Task<void> run_later(std::shared_ptr<Listener> self, Call call, std::int64_t since);
  void finish(const Notice& notice, Answer answer);
  void measure(const Row& row, std::int64_t since);
  void end();

  Supervisor& supervisor_;
  NoticeFd fd_;
  ContainerInfo info_;
  std::unique_ptr<NoticeLog> log_;
  Hooks hooks_;
  std::shared_ptr<Container> container_;
  std::vector<base::metrics::Histogram*> times_;  // by row, of the container
  ring::Watch watch_;
  bool near_ = false;
  int direct_ = 0;  // high: answers come at once, and many of them
  bool draining_ = false;
  bool looked_ = true;  // by the poll that says it is ready, and nothing was taken since
  bool ended_ = false;
  bool foreign_ = false;  // of a user namespace that we can not look into: its calls go on
};

}  // namespace seccomp
