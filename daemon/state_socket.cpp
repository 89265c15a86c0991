#include "daemon/state_socket.hpp"

#include <poll.h>

#include <cstring>
#include <string_view>
#include <utility>

#include "base/clock.hpp"
#include "base/unix_socket.hpp"
#include "seccomp/state_message.hpp"

namespace serving {
namespace {

constexpr std::size_t kMostFds = 16;  // runtimes send one
constexpr int kReadsInARow = 16;
constexpr std::uint64_t kPatienceSeconds = 30;

// Whether a JSON object has come to its end, whatever else is wrong with it. A byte is looked at
// once: who sends them one by one must not make us parse each time.
class ObjectEnd {
 public:
  bool feed(std::string_view bytes) {
    for (char c : bytes) {
      if (done_) break;
      if (quoted_) {
        quoted_ = escaped_ || c != '"';
        escaped_ = !escaped_ && c == '\\';
      } else if (c == '"') {
        quoted_ = true;
      } else if (c == '{' || c == '[') {
        ++depth_;
      } else if ((c == '}' || c == ']') && depth_ > 0) {
        done_ = --depth_ == 0;
      }
    }
    return done_;
  }

 private:
  std::size_t depth_ = 0;
  bool quoted_ = false, escaped_ = false, done_ = false;
};

}  // namespace

class StateSocket::Peer : public Guest, public std::enable_shared_from_this<StateSocket::Peer> {
 public:
  Peer(StateSocket& owner, base::Fd socket, pid_t process)
      : owner_(owner), socket_(std::move(socket)), process_(process) {}

  void start() {
    since_ = base::monotonic_seconds();
    watch_ = owner_.reactor_.watch(socket_.get(), POLLIN, [this](int events) {
      if (events < 0)
        end();
      else
        on_ready();
    });
  }
  void check_patience(std::uint64_t now, bool) override {
    if (ended_ || now - since_ < kPatienceSeconds) return;
    refuse("half a state, and nothing for 30 s");
  }

 private:
  void on_ready() {
    for (int reads = 0; !ended_; ++reads) {
      if (reads == kReadsInARow)
        return owner_.reactor_.defer([self = shared_from_this()] { self->on_ready(); });
      if (!receive()) return;
    }
  }

  bool receive() {
    char bytes[16384];
    auto got = base::receive_with_fds(socket_.get(), bytes, fds_, MSG_DONTWAIT);
    if (!got && got.error().value == EAGAIN) return false;
    if (!got) return refuse(std::strerror(got.error().value));
    if (got->size > 0 && (got->lost_fds || fds_.size() > kMostFds))
      return refuse("more descriptors than a state has");
    if (got->size == 0) return complete();
    text_.append(bytes, got->size);
    if (text_.size() > seccomp::kMostState) return refuse("a state of more than 1 MiB");
    // crun 1.8 leaves its end open, and makes calls that are to be answered.
    bool whole = end_.feed({bytes, got->size});
    return whole && !fds_.empty() ? complete() : true;
  }

  bool complete() {
    if (text_.empty() && fds_.empty()) return end();  // somebody has looked whether we are here
    owner_.on_state_(std::move(text_), std::move(fds_), process_);
    return end();
  }
  bool refuse(const std::string& why) {
    owner_.refuse(why);
    return end();
  }
  // Not at once: the watch may be what has called us. False, for those who then stop.
  bool end() {
    if (std::exchange(ended_, true)) return false;
    owner_.reactor_.defer([self = shared_from_this()] {
      self->watch_ = {};
      self->owner_.acceptor_.forget(self.get());
    });
    return false;
  }

  StateSocket& owner_;
  base::Fd socket_;
  pid_t process_;
  ring::Watch watch_;
  std::string text_;
  ObjectEnd end_;
  std::vector<base::Fd> fds_;
  std::uint64_t since_ = 0;
  bool ended_ = false;
};

StateSocket::StateSocket(ring::Reactor& reactor, Listening listening, OnState on_state)
    : reactor_(reactor),
      on_state_(std::move(on_state)),
      acceptor_(
          reactor, std::move(listening),
          [this](base::Fd socket, pid_t process) { return admit(std::move(socket), process); },
          [this](base::Fd) { refuse("a peer of another user"); }) {}

StateSocket::~StateSocket() = default;

std::shared_ptr<Guest> StateSocket::admit(base::Fd socket, pid_t process) {
  auto peer = std::make_shared<Peer>(*this, std::move(socket), process);
  peer->start();
  return peer;
}

void StateSocket::refuse(const std::string& why) {
  base::log::limited(refused_, base::log::Level::warning, "supervise.refused",
                     "error=" + base::log::quoted(why));
}

}  // namespace serving
