// Owns: one FUSE connection: the device, INIT, dispatch, the requests under way, the counters.
// Called by: daemon/, one for each mount. Never: ends the process for what the kernel or a
// container sends: a malformed request gets an error reply and a counter.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "fusefs/ledger.hpp"
#include "fusefs/op_table.hpp"
#include "fusefs/overlay.hpp"
#include "fusefs/request.hpp"
#include "fusefs/session_stats.hpp"
#include "ring/reactor.hpp"

namespace fusefs {

/// What a successor found.
struct Takeover {
  std::size_t nodes = 0, handles = 0;
  bool resent = false;   // the kernel sends again what was under way
  std::size_t lost = 0;  // else: requests that were answered EIO (EINTR if interrupted)
};

class Session {
 public:
  struct Hooks {
    std::function<void()> on_ready;   // INIT is answered: the mount serves
    std::function<void(int)> on_end;  // the mount is gone (ENODEV) or broken; called once, deferred
    /// With a ledger: descriptors of files that have no name any more, to be had again after a
    /// crash. The descriptor is ours; the name has letters, digits and '-'.
    std::function<void(const std::string& name, int fd)> keep = {};
    std::function<void(const std::string& name)> drop = {};
  };
  using Stats = SessionStats;

  /// `device`: /dev/fuse of a mount just made. Begins to serve when the reactor runs. With a ledger
  /// another process can go on where this one stops. With an adopted ledger, `device` is that of
  /// the mount it tells of, and take_over() must be called before the reactor runs.
  Session(ring::Reactor& reactor, base::Fd device, std::unique_ptr<Overlay> overlay, Hooks hooks,
          std::unique_ptr<Ledger> ledger = nullptr);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Goes on where the ledger's last process stopped. `kept`: what it gave to Hooks::keep and did
  /// not drop. A refusal says why; the session is then of no use, and the mount is still to be
  /// ended.
  base::Checked<Takeover> take_over(Kept kept);
  /// To be kept by whoever outlives us; nullptr: there is none.
  Ledger* ledger() { return ledger_.get(); }

  /// One request as read from the device. Public for the fuzzer and the tests.
  void handle(Buffer buffer, std::size_t size);
  /// Ends the connection although the kernel has not: on_end gets `error`.
  void abandon(int error) { end(error); }
  /// Lets the kernel ask again for owner, mode and ACLs of this inode, however long it may keep
  /// them. On a kernel worker: the notification may hold the last reference of an inode, and to let
  /// go of that may wait for an answer of ours. The session may be gone when this is done.
  ring::Task<void> forget_attributes(NodeId node);
  int device() const { return device_.get(); }
  Overlay& overlay() { return *overlay_; }
  const Stats& stats() const { return stats_; }
  std::size_t in_flight() const { return in_flight_.size(); }
  /// Seconds for which the oldest of them has waited.
  double longest_wait() const;
  /// The requests that wait, at most `most` of them.
  std::vector<WaitingRequest> waiting(std::size_t most = 1000) const;
  BufferPool& buffers() { return *buffers_; }

 private:
  struct InFlight;
  class Noted;
  void drain();
  void end(int error);
  void finish();
  void init(const Request& request);
  void heed(std::uint64_t agreed);
  void run_now(const OpRow& row, Done (*handler)(Overlay&, Request&, Answer&), Request& request);
  ring::Task<void> run_later(const OpRow& row, std::unique_ptr<InFlight> work);
  void interrupt(const Request& request);
  bool admit(const OpRow& row, Request& request);
  void recall(Request& request);
  void take_back(std::uint64_t unique);
  bool resend();
  bool answer_lost(std::uint64_t unique, int error);
  std::size_t give_up_lost();
  bool kernel_knows(NodeId node);
  bool given_up(const Node* node) const;
  void reply(const Request& request, Done result, const Answer& answer);
  void reply_error(std::uint64_t unique, int error, std::uint32_t op = 0);
  void count_time(std::uint32_t op, std::int64_t since);
  bool send_slice(std::uint64_t unique, const Slice& slice);
  void send_copy(std::uint64_t unique, const Slice& slice);
  void send(std::uint64_t unique, int error, std::span<const std::byte> fixed,
            std::span<const std::byte> variable);

  ring::Reactor& reactor_;
  base::Fd device_;
  std::unique_ptr<Ledger> ledger_;  // outlives the overlay
  std::unique_ptr<Overlay> overlay_;
  Hooks hooks_;
  std::shared_ptr<BufferPool> buffers_;  // before what may hold one of them
  base::Fd pipe_in_, pipe_out_;          // for slices; made at the first one
  ring::Watch watch_;
  Stats stats_;
  std::int64_t stamp_ = 0;  // when the request at hand was read; 0: not known, ask the clock
  std::multimap<std::uint64_t, InFlight*> in_flight_;  // a lying kernel may repeat a number
  bool initialised_ = false;
  bool setxattr_ext_ = true;
  bool ended_ = false;
  int end_error_ = 0;
};

}  // namespace fusefs
