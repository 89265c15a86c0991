#include "seccomp/listener.hpp"

#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.hpp"
#include "seccomp/translate.hpp"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS  // Linux 6.6
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

namespace seccomp {
namespace {

constexpr int kBatch = 64;                    // notifications served before others get their turn
constexpr std::uint64_t kMostWaiting = 4096;  // calls of one container that wait for its own memory
constexpr int kNear = 16, kMostDirect = 32, kLaterCosts = 8,
              kRetryNear = 1000;   // of Listener::direct_
constexpr int kRestartCall = 512;  // ERESTARTSYS, which no header for programs has

std::size_t notice_room() {
  seccomp_notif_sizes sizes{};
  bool known = ::syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == 0;
  std::size_t bytes = known ? sizes.seccomp_notif : 0;
  return (std::max(bytes, sizeof(seccomp_notif)) + 7) / 8;
}

}  // namespace

base::Checked<NoticeFd> NoticeFd::adopt(base::Fd fd) {
  std::uint64_t id = 0;
  // ENOENT: there is no such notification, so it is a listener. Anything else has no such ioctl.
  if (::ioctl(fd.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0 || errno == ENOENT) {
    // The task wakes where we run: 5 µs a call instead of 50. Before Linux 6.6 there is no such.
    const bool synchronous =
        ::ioctl(fd.get(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0;
    NoticeFd listener(std::move(fd), notice_room());
    listener.synchronous_ = synchronous;
    return listener;
  }
  return base::refuse(std::string("the descriptor is no seccomp listener: ") +
                      std::strerror(errno));
}

NoticeFd::Ready NoticeFd::look() const {
  pollfd asked{fd_.get(), POLLIN, 0};
  if (::poll(&asked, 1, 0) <= 0) return Ready::nothing;
  if (asked.revents & POLLIN) return Ready::notice;
  return asked.revents & (POLLHUP | POLLERR | POLLNVAL) ? Ready::gone : Ready::nothing;
}

std::optional<Notice> read_notice(std::span<const std::uint64_t> memory) {
  seccomp_notif raw;
  if (memory.size_bytes() < sizeof raw) return std::nullopt;
  std::memcpy(&raw, memory.data(), sizeof raw);
  if (raw.id == 0) return std::nullopt;
  Notice notice{.id = raw.id,
                .tid = static_cast<pid_t>(raw.pid),
                .number = raw.data.nr,
                .arch = raw.data.arch,
                .instruction = raw.data.instruction_pointer};
  std::copy(std::begin(raw.data.args), std::end(raw.data.args), notice.arguments.begin());
  return notice;
}

base::Result<Notice> NoticeFd::receive(std::span<std::uint64_t> into) {
  if (into.size() < buffer_.size()) into = buffer_;
  std::fill(into.begin(), into.end(), 0);  // or EINVAL
  if (::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_RECV, into.data()) != 0) return base::fail_errno();
  auto notice = read_notice(into);
  if (!notice) return base::fail(ENOENT);
  return *notice;
}

base::Result<> NoticeFd::send(std::uint64_t id, Answer answer) const {
  seccomp_notif_resp raw{};
  raw.id = id;
  if (answer.kind == Answer::Kind::value) raw.val = answer.number;
  if (answer.kind == Answer::Kind::error) raw.error = -static_cast<int>(answer.number);
  if (answer.kind == Answer::Kind::resume) raw.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  return base::check(::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, &raw));
}

bool NoticeFd::still_valid(std::uint64_t id) const {
  return ::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

Listener::Listener(Supervisor& supervisor, NoticeFd fd, ContainerInfo info,
                   std::unique_ptr<NoticeLog> log, Hooks hooks)
    : supervisor_(supervisor),
      fd_(std::move(fd)),
      info_(std::move(info)),
      log_(std::move(log)),
      hooks_(std::move(hooks)) {}

Listener::~Listener() {
  if (container_) --container_->listeners;
}

void Listener::belongs_to(std::shared_ptr<Container> container) {
  container_ = std::move(container);
  ++container_->listeners;
  times_.assign(kCalls.size(), nullptr);
}

void Listener::start(const Unfinished& unfinished) {
  watch();
  if (unfinished.newest != 0) let_orphans_go(unfinished);
  for (const Notice& notice : unfinished.notices) {
    if (fd_.still_valid(notice.id)) {
      handle(notice);
    } else if (log_) {
      log_->end(notice.id);
    }
  }
}

void Listener::watch() {
  near_ = false;
  watch_ = supervisor_.reactor().watch(fd_.get(), POLLIN, [this](int events) {
    if (events < 0) return end();
    if (!draining_) drain();
  });
  drain_later();  // what came before there was a watch makes no event
}

// A task that asks who it is, again and again, is answered twice as fast.
void Listener::come_near() {
  if (ended_ || near_) return;
  ring::Watch near = supervisor_.reactor().watch_near(
      fd_.get(), POLLIN, [this](int events) { near_is_ready(events); });
  near_ = static_cast<bool>(near);
  direct_ = near_ ? kMostDirect : -kRetryNear;
  if (near_) watch_ = std::move(near);
}

void Listener::answered_at_once() {
  if (direct_ < kMostDirect) ++direct_;
  if (near_ || direct_ < kNear || !fd_.synchronous()) return;
  direct_ = 0;
  supervisor_.reactor().defer([self = shared_from_this()] { self->come_near(); });
}

// poll(2) has just spoken, and nobody else receives: there is no need to look once more, but where
// a drain stood in the queue before this. RECV waits when there is nothing.
void Listener::near_is_ready(int events) {
  const bool looked = std::exchange(looked_, true);
  if (draining_ || ended_) return;
  if (events == 0 || direct_ < 0)
    direct_ = 0, watch();
  else if (events == POLLIN && looked)
    receive();
  else
    drain();
}

void Listener::receive() {
  auto notice = fd_.receive(log_ ? log_->receiving() : std::span<std::uint64_t>());
  if (notice) handle(*notice);
}

// Calls that were received and not kept in the ledger, because too many waited. Numbers go up by
// one, and are valid from being received to being answered.
void Listener::let_orphans_go(const Unfinished& unfinished) {
  std::uint64_t first = unfinished.newest - std::min(unfinished.newest, kMostWaiting - 1);
  for (std::uint64_t id = first; id < unfinished.newest + kBatch; ++id) {
    if (!fd_.still_valid(id)) continue;
    bool known = std::any_of(unfinished.notices.begin(), unfinished.notices.end(),
                             [id](const Notice& notice) { return notice.id == id; });
    if (!known) (void)fd_.send(id, Answer::resume());
  }
}

void Listener::restart(std::uint64_t id) {
  (void)fd_.send(id, Answer::fail(kRestartCall));
  if (log_) log_->end(id);
}

void Listener::drain() {
  draining_ = false;
  if (ended_) return;
  for (int n = 0; n < kBatch && !ended_; ++n) {
    NoticeFd::Ready ready = fd_.look();
    if (ready == NoticeFd::Ready::gone) return end();
    if (ready == NoticeFd::Ready::nothing) return;
    receive();
  }
  if (!ended_) drain_later();
}

void Listener::drain_later() {
  draining_ = true;
  supervisor_.reactor().defer([self = shared_from_this()] {
    self->looked_ = false;
    self->drain();
  });
}

// Handlers under way keep this alive. It is not called from within a call of the watch's own.
void Listener::end() {
  if (ended_) return;
  ended_ = true;
  supervisor_.reactor().defer([self = shared_from_this()] {
    self->watch_ = {};
    if (self->hooks_.on_gone) self->hooks_.on_gone();
  });
}

void Listener::abandon() {
  ended_ = true;
  watch_ = {};
  hooks_ = {};
}

Call Listener::call_of(const Notice& notice, const Row& row) {
  Call call{.supervisor = supervisor_,
            .container = container_,
            .notice = notice,
            .killable = info_.killable,
            .row = &row,
            .log = log_.get(),
            .restart = {},
            .still_valid = {}};
  if (!row.later) return call;
  std::uint64_t id = notice.id;
  call.restart = [this, id] { (void)fd_.send(id, Answer::fail(kRestartCall)); };
  call.still_valid = [this, id, tid = notice.tid] {
    return fd_.still_valid(id) || supervisor_.injector().holds(tid, id);
  };
  return call;
}

// Nothing: not a call that is answered by us.
static const Row* row_for(const Notice& notice) {
  if (notice.tid == 0) return nullptr;  // in a pid namespace that we can not see
  const Row* row = find_call(notice.arch, notice.number);
  if (!row || (row->action == Action::notify && !row->now && !row->later)) return nullptr;
  return is_meant(*row, notice) ? row : nullptr;
}

// Tasks that have made a user namespace of their own have ids of their own in it, which are none of
// ours.
static bool is_of(Supervisor& supervisor, const Container& container, pid_t tid) {
  auto where = supervisor.tracees().user_namespace(tid);
  return where && *where == container.user_namespace;
}

void Listener::handle(const Notice& notice) {
  std::int64_t since = base::monotonic_ns();
  if (log_) log_->begin(notice);
  if (!container_ && !foreign_ && notice.tid != 0) {
    auto found = hooks_.find_container(*this, notice.tid);
    foreign_ = !found && found.error().value != ESRCH;
    if (found) belongs_to(std::move(*found));
  }
  switch (supervisor_.injector().expects(notice)) {
    case Expected::no: break;
    case Expected::resume: return finish(notice, Answer::resume());
    case Expected::again: return finish(notice, Answer::fail(kRestartCall));
  }
  const Row* row = container_ ? row_for(notice) : nullptr;
  if (!row) return finish(notice, Answer::resume());
  if (row->own_ids && !ids_of(*container_, row->ids).translates()) {
    finish(notice, Answer::resume());  // the kernel says the same, whoever asks
    answered_at_once();
    return measure(*row, since);
  }
  if (!is_of(supervisor_, *container_, notice.tid)) return finish(notice, Answer::resume());
  if (row->action == Action::absent) return finish(notice, Answer::fail(ENOSYS));
  if (row->now) {
    Call call = call_of(notice, *row);
    finish(notice, row->now(call));
    answered_at_once();
    return measure(*row, since);
  }
  if (container_->under_way >= kMostWaiting) {
    ++container_->refused;
    supervisor_.tell(*container_, "crowded", "waiting=" + std::to_string(kMostWaiting));
    return finish(notice, Answer::fail(EAGAIN));
  }
  const std::size_t others = container_->under_way;
  ring::spawn(run_later(shared_from_this(), call_of(notice, *row), since));
  if (container_->under_way == others) return answered_at_once();
  direct_ = std::max(direct_ - kLaterCosts, -kLaterCosts);
}

ring::Task<void> Listener::run_later(std::shared_ptr<Listener> self, Call call,
                                     std::int64_t since) {
  const Row& row = *call.row;
  Notice notice = call.notice;
  ++self->container_->under_way;
  auto handler = row.later(std::move(call));
  Answer answer = co_await std::move(handler);
  --self->container_->under_way;
  self->finish(notice, answer);
  self->measure(row, since);
  if (self->hooks_.after_call) self->hooks_.after_call();
}

void Listener::finish(const Notice& notice, Answer answer) {
  if (answer.kind != Answer::Kind::silence) {
    auto sent = fd_.send(notice.id, answer);
    if (!sent && container_) ++container_->gone;  // it died, or a signal came: it calls again then
  }
  if (log_) log_->end(notice.id);
}

void Listener::measure(const Row& row, std::int64_t since) {
  auto index = static_cast<std::size_t>(&row - kCalls.data());
  if (index >= times_.size()) return;
  auto& times = times_[index];
  if (!times) times = &container_->calls[row.name];
  times->record(base::monotonic_ns() - since);
}

}  // namespace seccomp
