// Owns: the io_uring. Called by: the Reactor alone. Never: runs a handler; it only submits, waits
// and reaps. The seam: an engine for sites with kernel.io_uring_disabled=2 needs these six calls
// and no more.
#pragma once
#include <liburing.h>

#include <poll.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace ring {

/// What the kernel answers to one submission. The address is the key, so it must not move or die
/// before.
class Completion {
 public:
  Completion() = default;
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;
  /// `more`: further answers to the same submission will follow (multishot).
  virtual void complete(int result, bool more) = 0;

 protected:
  ~Completion() = default;
};

/// One asynchronous operation on a descriptor; the fields are those of the submission queue entry.
struct Op {
  std::uint8_t opcode = IORING_OP_NOP;
  int fd = -1;
  std::uint64_t offset = 0;
  const void* address = nullptr;
  std::uint32_t length = 0;
  std::uint32_t op_flags = 0;  // rw_flags, fsync_flags, ...
  // See FileSlot and Chain, who set them.
  std::uint8_t flags = 0;  // IOSQE_*
  std::uint32_t file_slot = 0;
};

/// For those who look at a running daemon.
struct EngineState {
  unsigned entries = 0;         // of the submission queue
  unsigned unsubmitted = 0;     // queued, and not yet given to the kernel
  unsigned unreaped = 0;        // complete, and not yet looked at
  std::uint32_t overflows = 0;  // completions lost for want of memory
  int spin_credit = 0;          // above 0: watching the ring before sleeping has paid lately
  std::uint64_t sleeps = 0;     // how often the thread slept in the kernel
};

class Engine {
 public:
  /// `entries`: size of the submission queue. The calling thread becomes the only one that may use
  /// it. Fails with a sentence that names the sysctl or limit which stands in the way.
  static base::Checked<std::unique_ptr<Engine>> make(unsigned entries);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Queues an operation on a worker thread of the kernel (IOSQE_ASYNC): for what may block.
  void start(const Op& op, Completion* completion);
  /// So many entries will go to the kernel together, as a chain has to.
  void reserve(unsigned entries);
  /// How many files the ring can have of its own, see FileSlot.
  unsigned file_slots() const { return file_slots_; }
  /// Queues a multishot poll: one completion for each time that `events` become true.
  void watch(int fd, unsigned events, Completion* completion);
  /// Watches by poll(2) instead, whenever wait() sleeps or looks: a completion each time that finds
  /// `events`, be they the same ones as before; 0: nothing has come of it for long, and meanwhile
  /// it makes every other wake dearer. False: no room for one more, or the kernel is too old (6.1).
  bool watch_near(int fd, unsigned events, Completion* completion);
  void unwatch_near(const Completion* completion);
  /// Queues one completion at this time of CLOCK_MONOTONIC; `at` must live until it is submitted.
  void timeout(const __kernel_timespec* at, Completion* completion);
  /// Asks to end a watch or an operation; its completion then comes with -ECANCELED.
  void cancel(Completion* completion);
  /// Submits, and waits until something is complete (`block`) or just looks.
  void wait(bool block);
  /// Before it sleeps, wait() watches the ring for up to so long (microseconds; 0: not at all), as
  /// long as that pays: where nothing comes in time - the daemon idles, or shares the processor
  /// with those who ask - it stops, and tries again now and then.
  void set_spin(unsigned microseconds) { spin_ns_ = microseconds * 1000ll; }
  EngineState state() const;
  /// Hands every finished completion to `sink` in the order of the queue.
  void reap(const std::function<void(Completion*, int result, bool more)>& sink);

 private:
  Engine() = default;
  io_uring_sqe* entry();
  bool spin();
  bool spin_pays();
  void wait_near(bool block);
  bool work_is_due();
  struct Near {
    Completion* completion;
    unsigned unused;  // waits since something came of it
  };
  std::vector<Near> near_;
  std::vector<pollfd> polled_;  // the bell, and then those of near_ in their order
  base::Fd bell_;               // an eventfd: the ring has got work to do
  bool has_bell_ = false;
  io_uring ring_{};
  int spin_credit_ = 0;
  unsigned sleeps_ = 0;
  std::int64_t spin_ns_ = 0;
  std::uint64_t slept_ = 0;
  unsigned file_slots_ = 0;
  bool open_ = false;
};

}  // namespace ring
