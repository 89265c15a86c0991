#include "ring/engine.hpp"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace ring {
namespace {

constexpr unsigned kMostWorkers = 512;
constexpr unsigned kFileSlots = 128;
constexpr std::size_t kMostNear = 8;
constexpr unsigned kUnusedWaits = 64;

// Newest set-up first: each line needs an older kernel than the one before (6.1, 5.19, 5.1).
constexpr unsigned kSetups[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
        IORING_SETUP_CLAMP,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CLAMP,
    IORING_SETUP_CLAMP,
};

std::string explain(int error) {
  std::string text = std::string("io_uring_setup: ") + std::strerror(error);
  if (error == EPERM) text += " (see sysctl kernel.io_uring_disabled and io_uring_group)";
  if (error == ENOSYS) text += " (kernel without io_uring, or a seccomp profile that hides it)";
  if (error == ENOMEM) text += " (see ulimit -l)";
  return text;
}

}  // namespace

base::Checked<std::unique_ptr<Engine>> Engine::make(unsigned entries) {
  std::unique_ptr<Engine> engine(new Engine);
  int error = 0;
  for (unsigned flags : kSetups) {
    io_uring_params params{};
    params.flags = flags;
    error = -io_uring_queue_init_params(entries, &engine->ring_, &params);
    engine->has_bell_ = flags & IORING_SETUP_DEFER_TASKRUN;
    if (error == 0) break;
    if (error != EINVAL) return base::refuse(explain(error));
  }
  if (error) return base::refuse(explain(error));
  engine->open_ = true;
  // A registered ring descriptor saves a table look-up a call; kernels before 5.18 lack it: no
  // loss.
  (void)io_uring_register_ring_fd(&engine->ring_);
  // Files, and the memory of tasks, which may lie in a file system that never answers: by default
  // four workers a processor, and then nothing moves any more. Before 5.15: no such call.
  unsigned workers[2] = {kMostWorkers, 0};
  (void)io_uring_register_iowq_max_workers(&engine->ring_, workers);
  if (io_uring_register_files_sparse(&engine->ring_, kFileSlots) == 0)  // Linux 5.19
    engine->file_slots_ = kFileSlots;
  io_uring_ring_dontfork(&engine->ring_);
  return engine;
}

Engine::~Engine() {
  if (open_) io_uring_queue_exit(&ring_);
}

io_uring_sqe* Engine::entry() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (!sqe) {  // queue full: give the kernel what is there
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

void Engine::start(const Op& op, Completion* completion) {
  io_uring_sqe* sqe = entry();
  io_uring_prep_rw(op.opcode, sqe, op.fd, op.address, op.length, op.offset);
  sqe->rw_flags = static_cast<int>(op.op_flags);
  if (op.file_slot != 0) sqe->file_index = op.file_slot;
  io_uring_sqe_set_flags(sqe, IOSQE_ASYNC | op.flags);
  io_uring_sqe_set_data(sqe, completion);
}

void Engine::reserve(unsigned entries) {
  if (io_uring_sq_space_left(&ring_) < entries) io_uring_submit(&ring_);
}

void Engine::watch(int fd, unsigned events, Completion* completion) {
  io_uring_sqe* sqe = entry();
  io_uring_prep_poll_multishot(sqe, fd, events);
  io_uring_sqe_set_data(sqe, completion);
}

bool Engine::watch_near(int fd, unsigned events, Completion* completion) {
  if (!has_bell_ || near_.size() >= kMostNear) return false;
  if (near_.empty()) {
    if (!bell_.valid()) bell_ = base::Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    has_bell_ = bell_.valid() && io_uring_register_eventfd(&ring_, bell_.get()) == 0;
    if (!has_bell_) return false;
    polled_ = {pollfd{bell_.get(), POLLIN, 0}};
  }
  near_.push_back({completion, 0});
  polled_.push_back({fd, static_cast<short>(events), 0});
  return true;
}

void Engine::unwatch_near(const Completion* completion) {
  for (std::size_t i = 0; i < near_.size(); ++i) {
    if (near_[i].completion != completion) continue;
    near_.erase(near_.begin() + static_cast<std::ptrdiff_t>(i));
    polled_.erase(polled_.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    if (near_.empty()) (void)io_uring_unregister_eventfd(&ring_);
    return;
  }
}

void Engine::timeout(const __kernel_timespec* at, Completion* completion) {
  io_uring_sqe* sqe = entry();
  io_uring_prep_timeout(sqe, const_cast<__kernel_timespec*>(at), 0, IORING_TIMEOUT_ABS);
  io_uring_sqe_set_data(sqe, completion);
}

void Engine::cancel(Completion* completion) {
  io_uring_sqe* sqe = entry();
  io_uring_prep_cancel(sqe, completion, 0);
  io_uring_sqe_set_data(sqe, nullptr);
}

// An idle processor takes longer to wake than most requests to serve. What has come in shows as a
// flag in memory shared with the kernel: no call is needed to see it. True: something has come in.
bool Engine::spin() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const std::int64_t begin = now.tv_sec * 1'000'000'000ll + now.tv_nsec;
  do {
    for (int i = 0; i < 32; ++i) {
      if (work_is_due()) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    ::clock_gettime(CLOCK_MONOTONIC, &now);
  } while (now.tv_sec * 1'000'000'000ll + now.tv_nsec - begin < spin_ns_);
  return false;
}

bool Engine::spin_pays() {
  constexpr int kMost = 8, kMiss = 3;
  constexpr unsigned kRetry = 64;  // sleeps without spinning before the next try
  if (spin_ns_ == 0) return false;
  if (spin_credit_ <= 0 && ++sleeps_ % kRetry != 0) return false;
  io_uring_submit(&ring_);
  bool came = spin();
  spin_credit_ = came ? std::min(std::max(spin_credit_, 0) + 2, kMost) : spin_credit_ - kMiss;
  return came;
}

bool Engine::work_is_due() {
  return (IO_URING_READ_ONCE(*ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) ||
         io_uring_cq_ready(&ring_) > 0;
}

// The wake of a poll(2) keeps what the waker asks of the scheduler, namely to run us where it runs
// itself; through the ring it is lost. Nor is there anything to gain by spinning: who is near goes
// on when we sleep. A ring with deferred work wakes nobody who polls it, but it rings its bell.
void Engine::wait_near(bool block) {
  if (io_uring_sq_ready(&ring_) > 0) io_uring_submit(&ring_);
  const bool due = !block || work_is_due();
  slept_ += due ? 0 : 1;
  if (::poll(polled_.data(), polled_.size(), due ? 0 : -1) < 0)
    for (pollfd& one : polled_) one.revents = 0;
  const bool rings = polled_[0].revents != 0;
  if (due || rings) io_uring_submit_and_get_events(&ring_);
  // Not before: completions ring as well. What comes from now on is seen by work_is_due().
  std::uint64_t times = 0;
  if (rings) (void)!::read(bell_.get(), &times, sizeof times);
  for (std::size_t i = 0; i < near_.size(); ++i)
    near_[i].unused = polled_[i + 1].revents ? 0 : near_[i].unused + 1;
}

void Engine::wait(bool block) {
  if (!near_.empty()) return wait_near(block);
  if (block && spin_pays()) block = false;
  if (block) {
    ++slept_;
    io_uring_submit_and_wait(&ring_, 1);
  } else {
    io_uring_submit_and_get_events(&ring_);
  }
}

EngineState Engine::state() const {
  EngineState now;
  now.entries = ring_.sq.ring_entries;
  now.unsubmitted = io_uring_sq_ready(&ring_);
  now.unreaped = io_uring_cq_ready(&ring_);
  now.overflows = IO_URING_READ_ONCE(*ring_.cq.koverflow);
  now.spin_credit = std::max(spin_credit_, 0);
  now.sleeps = slept_;
  return now;
}

void Engine::reap(const std::function<void(Completion*, int, bool)>& sink) {
  io_uring_cqe* cqe = nullptr;
  unsigned head = 0;
  unsigned seen = 0;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    ++seen;
    auto* completion = static_cast<Completion*>(io_uring_cqe_get_data(cqe));
    if (completion) sink(completion, cqe->res, cqe->flags & IORING_CQE_F_MORE);
  }
  io_uring_cq_advance(&ring_, seen);
  for (std::size_t i = 0; i < near_.size(); ++i) {
    const int events = std::exchange(polled_[i + 1].revents, short{0});
    const bool useless = near_[i].unused >= kUnusedWaits;
    if (useless) near_[i].unused = 0;
    if (events || useless) sink(near_[i].completion, events, true);
  }
}

}  // namespace ring
