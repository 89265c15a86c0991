// A session that goes on where a daemon that died has stopped: what the kernel still waits for is
// sent again, or is answered with an error where the kernel can not do that.
#include <unistd.h>

#include <cerrno>

#include "fusefs/session.hpp"

namespace fusefs {
namespace {

struct AskAgain {
  fuse_out_header header{};
  fuse_notify_inval_inode_out body{};
  explicit AskAgain(NodeId node) {
    header.len = sizeof *this;
    header.error = FUSE_NOTIFY_INVAL_INODE;
    body.ino = node;
    body.off = -1;  // attributes alone
  }
};

}  // namespace

base::Checked<Takeover> Session::take_over(Kept kept) {
  if (!ledger_ || !ledger_->inherited())
    return base::refuse("take over: there is no ledger of an earlier daemon");
  if (ledger_->head().layers != overlay_->tell_layers())
    return base::refuse("take over: the layers are not those which the ledger tells of");
  Overlay::Restored restored = overlay_->restore(std::move(kept));
  const layout::Agreed& agreed = ledger_->head().agreed;
  initialised_ = agreed.answered;
  if (initialised_) heed(agreed.flags);
  ledger_->suspect_answer();
  ledger_->taken_over();
  Takeover result{.nodes = restored.nodes, .handles = restored.handles};
  // Before INIT is answered nobody knows what the kernel can do: it may be INIT that was lost.
  bool offered = !initialised_ || agreed.flags & wire::kHasResend;
  result.resent = offered && resend();
  if (!result.resent) result.lost = stats_.lost = give_up_lost();
  ledger_->forget_lost();
  return result;
}

// Puts what was read and not answered at the head of the kernel's queue again.
bool Session::resend() {
  fuse_out_header note{};
  note.len = sizeof note;
  note.error = wire::kNotifyResend;
  ssize_t put;
  do put = ::write(device_.get(), &note, sizeof note);
  while (put < 0 && errno == EINTR);
  return put == static_cast<ssize_t>(sizeof note);
}

// False: the kernel does not wait for an answer to this.
bool Session::answer_lost(std::uint64_t unique, int error) {
  fuse_out_header header{};
  header.len = sizeof header;
  header.error = -error;
  header.unique = unique;
  ssize_t put;
  do put = ::write(device_.get(), &header, sizeof header);
  while (put < 0 && errno == EINTR);
  return put == static_cast<ssize_t>(sizeof header);
}

std::size_t Session::give_up_lost() {
  std::size_t lost = 0;
  for (const layout::InFlight& request : ledger_->lost()) {
    std::uint32_t op = request.opcode < kOps.size() ? request.opcode : 0;
    bool done =
        ledger_->verdict(request.unique) == Verdict::done && kOps[op].again == again_nothing;
    if (!answer_lost(request.unique, done ? 0 : request.interrupted ? EINTR : EIO)) continue;
    lost += !done;
    take_back(request.unique);
  }
  // Read, and not yet noted when the daemon died: at most a few, and the next in number.
  constexpr std::uint64_t kAhead = 64;
  std::uint64_t last = ledger_->head().last_unique;
  for (std::uint64_t i = 1; i <= kAhead; ++i)
    lost += answer_lost(last + i * wire::kUniqueStep, EIO);
  return lost;
}

// By a notification that does nothing but to let the kernel ask for attributes again.
bool Session::kernel_knows(NodeId node) {
  AskAgain note(node);
  return ::write(device_.get(), &note, sizeof note) >= 0 || errno != ENOENT;
}

ring::Task<void> Session::forget_attributes(NodeId node) {
  AskAgain note(node);
  ring::Op op{.opcode = IORING_OP_WRITE, .fd = device_.get(), .address = &note};
  op.length = sizeof note;
  (void)co_await reactor_.operation(op);
}

// What an answer that was never sent had given to the kernel.
void Session::take_back(std::uint64_t unique) {
  Ledger::Given given = ledger_->take_back(unique);
  for (std::uint32_t id : given.nodes)
    if (Node* node = overlay_->nodes().find(id)) overlay_->nodes().forget(node, 1);
  if (given.handle) overlay_->handles().remove(given.handle - 1);
}

// A request that comes again, before it is looked at.
void Session::recall(Request& request) {
  ++stats_.resent;
  take_back(request.unique());
  request.again = ledger_->verdict(request.unique());
  if (request.again == Verdict::done) ++stats_.already_done;
}

}  // namespace fusefs
