#include "daemon/connection.hpp"

#include <poll.h>
#include <sys/socket.h>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/unix_socket.hpp"
#include "daemon/control.hpp"
#include "daemon/server.hpp"

namespace serving {
namespace {

constexpr std::size_t kOutputLimit = 8 * 1024 * 1024;
constexpr std::size_t kMostFds = 600;
constexpr std::uint64_t kPatienceSeconds = 30;
constexpr int kReadsInARow = 16;  // before others get their turn

}  // namespace

void Connection::start() {
  since_ = base::monotonic_seconds();
  watch_ = control_.reactor().watch(socket_.get(), POLLIN | POLLOUT,
                                    [this](int events) { on_ready(events); });
}

// Not at once: the watch may be what has called us.
void Connection::hang_up() {
  if (std::exchange(closed_, true)) return;
  control_.reactor().defer([self = shared_from_this()] {
    self->watch_ = {};
    self->fds_.clear();
    self->socket_.reset();
    self->control_.forget(self.get());
  });
}

void Connection::on_ready(int events) {
  if (closed_) return;
  if (events < 0) return hang_up();
  flush();
  for (int reads = 0; !closed_ && !ending_ && !busy_; ++reads) {
    if (reads == kReadsInARow)
      return control_.reactor().defer([self = shared_from_this()] { self->on_ready(POLLIN); });
    if (!receive()) return;
    serve_lines();
  }
}

// Takes what has come. False: nothing more for now, or the end.
bool Connection::receive() {
  char bytes[65536];
  auto got = base::receive_with_fds(socket_.get(), bytes, fds_, MSG_DONTWAIT);
  if (!got && got.error().value == EAGAIN) return false;
  // Lost: our own descriptors are used up.
  if (got && got->size > 0 && (got->lost_fds || fds_.size() > kMostFds)) {
    refuse(Fault::fds, "more descriptors than a request may have", "EMFILE");
    return false;
  }
  if (!got || got->size == 0) {
    if (in_.unfinished() || !fds_.empty()) control_.count(Fault::half);
    ending_ = true;
    flush();
    return false;
  }
  if (!in_.unfinished()) since_ = base::monotonic_seconds();
  in_.add({bytes, got->size});
  return true;
}

void Connection::serve_lines() {
  while (!busy_ && !ending_ && !closed_) {
    auto line = in_.take();
    if (line) {
      serve(*line);
      continue;
    }
    if (in_.too_long()) refuse(Fault::too_long, "a request of more than 256 kB", "E2BIG");
    return;
  }
}

void Connection::serve(std::string_view line) {
  auto request = parse_request(line);
  if (!request) return refuse(request.error().fault, request.error().message, "EPROTO");
  const Verb* verb = find_verb(request->verb);
  if (!verb)
    return refuse(Fault::verb,
                  "no verb " + base::log::quoted(request->verb.substr(0, 40)) + " in this daemon",
                  "ENOSYS");
  std::vector<base::Fd> fds = std::exchange(fds_, {});
  if (!fds.empty() && !verb->wants_fds)
    return refuse(Fault::fds, std::string(verb->name) + " takes no descriptors");
  auto call = std::make_unique<Call>(
      Call{control_.server(), control_, std::move(request->args), std::move(fds), peer_});
  run(*verb, std::move(call));
}

void Connection::run(const Verb& verb, std::unique_ptr<Call> call) {
  busy_ = true;
  if (verb.later) return (void)ring::spawn(run_later(shared_from_this(), &verb, std::move(call)));
  Answered answered = verb.now(*call);
  busy_ = false;
  answer(answered, call->code);
}

ring::Task<void> Connection::run_later(std::shared_ptr<Connection> self, const Verb* verb,
                                       std::unique_ptr<Call> call) {
  Answered answered = co_await verb->later(*call);
  self->busy_ = false;
  self->answer(answered, call->code);
  // What has come meanwhile: its edge has passed.
  self->control_.reactor().defer([self] {
    self->serve_lines();
    self->on_ready(POLLIN);
  });
}

void Connection::answer(const Answered& answer, std::string_view code) {
  if (closed_) return;
  since_ = base::monotonic_seconds();
  out_ += answer_line(answer, code);
  flush();
}

// The reason, and the end: who sends this does not speak our language.
void Connection::refuse(Fault fault, const std::string& message, std::string_view code) {
  control_.count(fault);
  fds_.clear();
  ending_ = true;
  answer(base::refuse(message), code);
}

void Connection::flush() {
  while (!closed_ && !out_.empty()) {
    ssize_t put = ::send(socket_.get(), out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno != EAGAIN) return hang_up();
    if (put < 0) break;
    out_.erase(0, static_cast<std::size_t>(put));
    since_ = base::monotonic_seconds();
  }
  if (out_.size() > kOutputLimit) {
    control_.count(Fault::slow);
    return hang_up();
  }
  if (ending_ && out_.empty() && !busy_) hang_up();
}

void Connection::check_patience(std::uint64_t now, bool crowded) {
  if (closed_ || busy_ || now - since_ < kPatienceSeconds) return;
  if (!out_.empty()) {
    control_.count(Fault::slow);
    return hang_up();
  }
  bool unfinished = in_.unfinished() || !fds_.empty();
  if (unfinished) return refuse(Fault::silent, "half a request, and nothing for 30 s", "ETIMEDOUT");
  if (crowded) hang_up();
}

}  // namespace serving
