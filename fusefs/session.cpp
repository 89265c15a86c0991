#include "fusefs/session.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/clock.hpp"
#include "base/log.hpp"

namespace fusefs {
namespace {

constexpr std::size_t kHeaderRoom = 4096;  // header and fixed body before max_write bytes of data
constexpr int kBatch = 64;                 // requests served before others get their turn

// A successor's settings may be others than those which the kernel has agreed on.
std::size_t request_room(const Overlay& overlay, const Ledger* ledger) {
  std::uint32_t agreed = ledger && ledger->inherited() ? ledger->head().agreed.max_write : 0;
  constexpr std::uint32_t kMost = 16 * 1024 * 1024;
  return std::max(overlay.options().max_write, std::min(agreed, kMost)) + kHeaderRoom;
}

}  // namespace

// The trace of `-d`: one line an answer.
static void trace(const fuse_in_header& header, int error, std::size_t size) {
  if (!base::log::enabled(base::log::Level::debug)) return;
  std::string line = "unique=" + std::to_string(header.unique) + " op=";
  line += header.opcode < kOps.size() ? kOps[header.opcode].name : "?";
  line += " node=" + std::to_string(header.nodeid) + " uid=" + std::to_string(header.uid) +
          " pid=" + std::to_string(header.pid) + " err=" + std::to_string(error) +
          " bytes=" + std::to_string(size);
  base::log::line(base::log::Level::debug, "fuse.reply", line);
}

// A request in the ledger, from here to the end of the scope.
class Session::Noted {
 public:
  Noted() = default;
  Noted(Ledger* ledger, const Request& request) : ledger_(ledger), unique_(request.unique()) {
    if (ledger_) slot_ = ledger_->begin(unique_, request.header.opcode);
  }
  Noted(Noted&& other) noexcept
      : ledger_(std::exchange(other.ledger_, nullptr)),
        unique_(other.unique_),
        slot_(other.slot_) {}
  Noted& operator=(Noted&& other) noexcept {
    std::swap(ledger_, other.ledger_);
    std::swap(unique_, other.unique_);
    std::swap(slot_, other.slot_);
    return *this;
  }
  ~Noted() {
    if (ledger_) ledger_->end(slot_, unique_);
  }
  void interrupted() {
    if (ledger_) ledger_->interrupted(slot_);
  }

 private:
  Ledger* ledger_ = nullptr;
  std::uint64_t unique_ = 0;
  std::uint32_t slot_ = Ledger::kNoSlot;
};

struct Session::InFlight {
  Noted noted;
  Request request;
  Answer answer;
  std::int64_t since = 0;
  std::vector<std::byte> copy;  // of a small request, when many wait
};

Session::Session(ring::Reactor& reactor, base::Fd device, std::unique_ptr<Overlay> overlay,
                 Hooks hooks, std::unique_ptr<Ledger> ledger)
    : reactor_(reactor),
      device_(std::move(device)),
      ledger_(std::move(ledger)),
      overlay_(std::move(overlay)),
      hooks_(std::move(hooks)),
      buffers_(BufferPool::of_size(request_room(*overlay_, ledger_.get()))) {
  if (ledger_) {
    overlay_->keep(ledger_.get());
    overlay_->keep_descriptor = hooks_.keep;
    overlay_->drop_descriptor = hooks_.drop;
    overlay_->kernel_knows = [this](NodeId node) { return kernel_knows(node); };
    if (!ledger_->inherited()) ledger_->belongs_to(overlay_->tell_layers());
  }
  overlay_->given_up = [this](const Node* node) { return given_up(node); };
  watch_ = reactor_.watch(device_.get(), POLLIN, [this](int events) {
    if (events < 0) return end(-events);
    drain();
  });
}

Session::~Session() = default;

// The end of one request is taken as the beginning of the next in the same batch: one look at the
// clock a request, and one more a batch.
void Session::drain() {
  stamp_ = 0;
  for (int n = 0; n < kBatch && !ended_; ++n) {
    Buffer buffer = buffers_->take();
    ssize_t got = ::read(device_.get(), buffer.get(), buffers_->size());
    if (got < 0) {
      if (errno == EAGAIN) return;
      if (errno == EINTR || errno == ENOENT) continue;  // ENOENT: the request was withdrawn
      return end(errno);
    }
    handle(std::move(buffer), static_cast<std::size_t>(got));
  }
  if (!ended_) reactor_.defer([this] { drain(); });
}

void Session::end(int error) {
  if (ended_) return;
  ended_ = true;
  end_error_ = error;
  if (in_flight_.empty()) finish();
}

// Behind whatever of ours the reactor has queued already; after it nothing of this session runs any
// more.
void Session::finish() {
  reactor_.defer([this] {
    watch_ = {};
    if (hooks_.on_end) hooks_.on_end(end_error_);
  });
}

void Session::handle(Buffer buffer, std::size_t size) {
  if (stamp_ == 0) stamp_ = base::monotonic_ns();
  Request request;
  base::Reader reader({buffer.get(), size});
  auto header = reader.take<fuse_in_header>();
  if (!header || header->len != size) {
    ++stats_.rejected;
    if (header) reply_error(header->unique, EINVAL);
    return;
  }
  request.header = *header;
  request.body = reader.rest();
  request.buffers = buffers_.get();
  request.setxattr_ext = setxattr_ext_;
  std::uint32_t op = header->opcode;
  if (op >= kOps.size() || kOps[op].name.empty()) {
    ++stats_.rejected;
    return reply_error(header->unique, ENOSYS);
  }
  const OpRow& row = kOps[op];
  ++stats_.ops[op].requests;
  if (op == FUSE_INTERRUPT) return interrupt(request);
  Noted noted(row.answers ? ledger_.get() : nullptr, request);
  if (!admit(row, request)) return;
  if (op == FUSE_INIT) return init(request);
  if (request.again == Verdict::done && row.again) return run_now(row, row.again, request);
  if (row.now) return run_now(row, row.now, request);
  if (!row.later) {
    if (row.answers) reply_error(header->unique, ENOSYS, op);
    return;
  }
  auto work = std::make_unique<InFlight>();
  work->noted = std::move(noted);
  work->request = std::move(request);
  // As many requests may wait as a container has threads: beyond a few they get what they need.
  constexpr std::size_t kFew = 4, kSmall = 8192;
  if (in_flight_.size() >= kFew && size <= kSmall) {
    work->copy.assign(buffer.get(), buffer.get() + size);
    work->request.body = std::span(work->copy).subspan(sizeof(fuse_in_header));
  } else {
    work->request.storage = std::move(buffer);
  }
  std::size_t waiting = in_flight_.size();
  ring::spawn(run_later(row, std::move(work)));
  if (in_flight_.size() > waiting) stamp_ = 0;  // its end, which the next one begins at, is to come
}

// What comes from outside is made sure of here: a handler finds a body that is long enough, and a
// node that is awake.
bool Session::admit(const OpRow& row, Request& request) {
  bool again = request.header.unique & wire::kUniqueResend;
  bool init = request.header.opcode == FUSE_INIT;
  if (ledger_) ledger_->pass(Point::received);
  if (again) ++stats_.resent;
  if (again && ledger_) recall(request);
  bool valid = request.body.size() >= row.min_body;
  if (row.wants_node) request.node = overlay_->nodes().find(request.header.nodeid);
  valid = valid && (!row.wants_node || request.node);
  bool in_turn = initialised_ != init || (init && again);  // INIT comes first, and once
  if (!valid || !in_turn) {
    ++stats_.rejected;
    if (row.answers)
      reply_error(request.header.unique, valid ? EIO : EINVAL, request.header.opcode);
    return false;
  }
  if (request.node && row.dates) request.node->told = false;
  if (!request.node || row.asleep) return true;
  auto awake = overlay_->awaken(request.node);
  if (!awake && row.answers)
    reply_error(request.header.unique, awake.error().value, request.header.opcode);
  return awake.has_value();
}

void Session::run_now(const OpRow& row, Done (*handler)(Overlay&, Request&, Answer&),
                      Request& request) {
  Answer answer;
  if (ledger_) ledger_->answering(request.unique());
  Done result = handler(*overlay_, request, answer);
  if (row.answers) reply(request, std::move(result), answer);
  if (ledger_ && row.answers) ledger_->pass(Point::answered);
  count_time(request.header.opcode, stamp_);
}

void Session::count_time(std::uint32_t op, std::int64_t since) {
  std::int64_t now = base::monotonic_ns();
  stats_.ops[op].record(now - since);
  if (stamp_ != 0) stamp_ = now;
}

ring::Task<void> Session::run_later(const OpRow& row, std::unique_ptr<InFlight> work) {
  std::uint64_t unique = work->request.header.unique;
  std::uint64_t before = reactor_.deferred_operations();
  auto entry = in_flight_.emplace(unique, work.get());
  work->since = stamp_;
  Done result = co_await row.later(*overlay_, work->request, work->answer);
  in_flight_.erase(entry);
  std::uint32_t op = work->request.header.opcode;
  if (reactor_.deferred_operations() != before) ++stats_.ops[op].waited;
  reply(work->request, std::move(result), work->answer);
  count_time(op, work->since);
  if (ledger_) ledger_->pass(Point::answered);
  work->noted = Noted();
  if (ended_ && in_flight_.empty()) finish();
}

// Any signal interrupts a request, which on a disk would go on: chmod(2) knows no EINTR. Only for
// who is about to die is that different; the kernel tells of the first signal only.
void Session::interrupt(const Request& request) {
  auto in = request.reader().take<fuse_interrupt_in>();
  auto found = in ? in_flight_.find(in->unique) : in_flight_.end();
  if (found == in_flight_.end()) return;
  found->second->request.interrupted = true;
  found->second->noted.interrupted();
}

bool Session::given_up(const Node* node) const {
  bool any = false;
  for (const auto& [unique, work] : in_flight_) {
    const Request& request = work->request;
    if (request.node != node) continue;
    if (!request.interrupted || !is_dying(request.header.pid)) return false;
    any = true;
  }
  return any;
}

void Session::heed(std::uint64_t agreed) {
  setxattr_ext_ = agreed & FUSE_SETXATTR_EXT;
  overlay_->times_in_kernel = agreed & FUSE_WRITEBACK_CACHE;
  // Of handles that an earlier process gave out the kernel would tell no release any more.
  overlay_->opens_unasked = agreed & FUSE_NO_OPEN_SUPPORT && overlay_->can_open_later() &&
                            overlay_->handles().size() == 0;
}

void Session::init(const Request& request) {
  auto in = request.reader().take<fuse_init_in>();
  // Only the first 16 bytes are sure to be there; flags2 came with 7.36.
  struct {
    std::uint32_t major, minor, max_readahead, flags;
  } old{};
  std::memcpy(&old, request.body.data(), sizeof old);
  if (old.major != FUSE_KERNEL_VERSION || old.minor < 31) {
    ++stats_.rejected;
    reply_error(request.header.unique, EPROTO, FUSE_INIT);
    return end(EPROTO);
  }
  std::uint64_t offered = old.flags;
  if (in && old.flags & wire::kInitExt) offered |= static_cast<std::uint64_t>(in->flags2) << 32;
  const OverlayOptions& options = overlay_->options();
  std::uint64_t want = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_DONT_MASK | FUSE_HAS_IOCTL_DIR |
                       FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO |
                       FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_MAX_PAGES |
                       FUSE_CACHE_SYMLINKS | FUSE_EXPLICIT_INVAL_DATA | FUSE_SETXATTR_EXT |
                       FUSE_ABORT_ERROR | FUSE_NO_OPEN_SUPPORT | wire::kInitExt |
                       wire::kDirectIoAllowMmap | wire::kHasResend;
  if (options.writeback) want |= FUSE_WRITEBACK_CACHE;
  if (overlay_->stack().acls) want |= FUSE_POSIX_ACL;
  std::uint64_t agreed = offered & want;
  wire::InitOut out{};
  out.major = FUSE_KERNEL_VERSION;
  out.minor = std::min<std::uint32_t>(old.minor, 45);
  out.max_readahead = old.max_readahead;
  out.flags = static_cast<std::uint32_t>(agreed);
  out.flags2 = static_cast<std::uint32_t>(agreed >> 32);
  out.max_background = options.max_background;
  out.congestion_threshold = static_cast<std::uint16_t>(options.max_background * 3 / 4);
  out.max_write = options.max_write;
  out.time_gran = 1;
  out.max_pages = static_cast<std::uint16_t>(options.max_write / 4096);
  initialised_ = true;
  heed(agreed);
  if (ledger_) ledger_->agree(agreed, out.minor, out.max_write);
  send(request.header.unique, 0, std::as_bytes(std::span(&out, 1)), {});
  if (hooks_.on_ready) hooks_.on_ready();
}

void Session::reply(const Request& request, Done result, const Answer& answer) {
  trace(request.header, result ? 0 : result.error().value, answer.variable().size());
  if (ledger_) ledger_->pass(Point::answering);
  std::uint32_t op = request.header.opcode;
  if (!result) return reply_error(request.header.unique, result.error().value, op);
  if (const Slice* slice = answer.slice()) {
    if (!send_slice(request.header.unique, *slice)) send_copy(request.header.unique, *slice);
    return;
  }
  send(request.header.unique, 0, answer.fixed(), answer.variable());
}

// Page cache to kernel through a pipe: one copy less than through our memory. False: nothing sent.
bool Session::send_slice(std::uint64_t unique, const Slice& slice) {
  if (!pipe_in_.valid()) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return false;
    pipe_out_ = base::Fd(ends[0]);
    pipe_in_ = base::Fd(ends[1]);
    ::fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(2 * buffers_->size()));
  }
  fuse_out_header header{};
  header.unique = unique;
  header.len = static_cast<std::uint32_t>(sizeof header + slice.length);
  off_t offset = slice.offset;
  std::size_t filled = 0;
  bool ok = ::write(pipe_in_.get(), &header, sizeof header) == sizeof header;
  while (ok && filled < slice.length) {
    ssize_t n = ::splice(slice.file->get(), &offset, pipe_in_.get(), nullptr, slice.length - filled,
                         SPLICE_F_NONBLOCK);
    ok = n > 0;
    if (ok) filled += static_cast<std::size_t>(n);
  }
  if (ok) {
    ssize_t sent = ::splice(pipe_out_.get(), nullptr, device_.get(), nullptr, header.len, 0);
    if (sent == static_cast<ssize_t>(header.len)) return true;
    if (sent < 0 && errno == ENOENT) ++stats_.reply_failures;
    ok = sent < 0 && errno == ENOENT;  // the kernel had given the request up: it is done with
  }
  pipe_in_.reset();  // whatever is left in the pipe goes with it
  pipe_out_.reset();
  return ok;
}

void Session::send_copy(std::uint64_t unique, const Slice& slice) {
  Buffer data = buffers_->take();
  std::size_t want = std::min(slice.length, buffers_->size());
  ssize_t got = ::pread(slice.file->get(), data.get(), want, slice.offset);
  if (got < 0) return reply_error(unique, errno, FUSE_READ);
  send(unique, 0, {}, {data.get(), static_cast<std::size_t>(got)});
}

void Session::reply_error(std::uint64_t unique, int error, std::uint32_t op) {
  ++stats_.ops[op].errors[error];
  send(unique, error, {}, {});
}

void Session::send(std::uint64_t unique, int error, std::span<const std::byte> fixed,
                   std::span<const std::byte> variable) {
  fuse_out_header header{};
  header.unique = unique;
  header.error = -error;
  header.len = static_cast<std::uint32_t>(sizeof header + fixed.size() + variable.size());
  iovec parts[3] = {{&header, sizeof header},
                    {const_cast<std::byte*>(fixed.data()), fixed.size()},
                    {const_cast<std::byte*>(variable.data()), variable.size()}};
  int count = variable.empty() ? (fixed.empty() ? 1 : 2) : 3;
  ssize_t put;
  do put = ::writev(device_.get(), parts, count);
  while (put < 0 && errno == EINTR);
  if (put < 0) ++stats_.reply_failures;  // ENOENT: the kernel had given up; ENODEV: unmounted
}

double Session::longest_wait() const {
  std::int64_t now = base::monotonic_ns(), oldest = now;
  for (const auto& [unique, work] : in_flight_) oldest = std::min(oldest, work->since);
  return static_cast<double>(now - oldest) / 1e9;
}

std::vector<WaitingRequest> Session::waiting(std::size_t most) const {
  std::vector<WaitingRequest> all;
  std::int64_t now = base::monotonic_ns();
  for (const auto& [unique, work] : in_flight_) {
    if (all.size() >= most) break;
    const Request& request = work->request;
    WaitingRequest one;
    one.unique = unique;
    one.op = kOps[request.header.opcode].name;
    one.node = request.header.nodeid;
    if (request.node) one.path = path_of(request.node);
    one.seconds = static_cast<double>(now - work->since) / 1e9;
    one.pid = request.header.pid;
    one.waits = waits_for(request.header.opcode, request.node);
    one.interrupted = request.interrupted;
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace fusefs
