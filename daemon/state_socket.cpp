#include "daemon/state_socket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string_view>
#include <utility>

#include "base/clock.hpp"
#include "seccomp/state_message.hpp"

namespace serving {
namespace {

constexpr std::size_t kMostPeers = 256;
constexpr std::size_t kMostFds = 16;  // runtimes send one
constexpr int kAcceptsInARow = 64, kReadsInARow = 16;
constexpr std::uint64_t kPatienceSeconds = 30;
constexpr std::uint32_t kSweepMilliseconds = 5000;

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

class StateSocket::Peer : public std::enable_shared_from_this<StateSocket::Peer> {
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
  void check_patience(std::uint64_t now) {
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
    alignas(cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))];
    iovec part{bytes, sizeof bytes};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) return true;
    if (got < 0 && errno == EAGAIN) return false;
    if (got > 0 && !keep_fds(message)) return refuse("more descriptors than a state has");
    if (got < 0) return refuse(std::strerror(errno));
    if (got == 0) return complete();
    text_.append(bytes, static_cast<std::size_t>(got));
    if (text_.size() > seccomp::kMostState) return refuse("a state of more than 1 MiB");
    // crun 1.8 leaves its end open, and makes calls that are to be answered.
    bool whole = end_.feed({bytes, static_cast<std::size_t>(got)});
    return whole && !fds_.empty() ? complete() : true;
  }

  // All of them become ours first: whatever is wrong, none may be left open.
  bool keep_fds(const msghdr& message) {
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header;
         header = CMSG_NXTHDR(const_cast<msghdr*>(&message), header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int raw;
        std::memcpy(&raw, CMSG_DATA(header) + i * sizeof raw, sizeof raw);
        fds_.emplace_back(raw);
      }
    }
    return !(message.msg_flags & MSG_CTRUNC) && fds_.size() <= kMostFds;
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
      self->owner_.forget(self.get());
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
    : reactor_(reactor), listening_(std::move(listening)), on_state_(std::move(on_state)) {
  int socket = listening_.socket.get();
  ::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) | O_NONBLOCK);
  watch_ = reactor_.watch(socket, POLLIN, [this](int) { accept(); });
}

StateSocket::~StateSocket() = default;

// Who does not find a place waits in the backlog until forget() makes one.
void StateSocket::accept() {
  for (int n = 0; peers_.size() < kMostPeers; ++n) {
    if (n == kAcceptsInARow) return reactor_.defer([this] { accept(); });
    base::Fd socket(
        ::accept4(listening_.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket.valid()) {
      admit(std::move(socket));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      // The edge has passed: without another look who waits would wait for the next one to come.
      sweep_ = reactor_.after(100, [this] { sweep(); });
      return;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

void StateSocket::admit(base::Fd socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
      peer.uid != ::geteuid())
    return refuse("a peer of another user");
  auto one = std::make_shared<Peer>(*this, std::move(socket), peer.pid);
  if (peers_.empty()) sweep_ = reactor_.after(kSweepMilliseconds, [this] { sweep(); });
  peers_.emplace(one.get(), one);
  one->start();
}

void StateSocket::refuse(const std::string& why) {
  base::log::limited(refused_, base::log::Level::warning, "supervise.refused",
                     "error=" + base::log::quoted(why));
}

void StateSocket::close_socket() {
  watch_ = {};
  if (!listening_.path.empty()) ::unlink(listening_.path.c_str());
}

bool StateSocket::busy() const {
  pollfd one{listening_.socket.get(), POLLIN, 0};
  return !peers_.empty() || ::poll(&one, 1, 0) > 0;
}

void StateSocket::forget(Peer* peer) {
  peers_.erase(peer);
  reactor_.defer([this] { accept(); });
}

void StateSocket::sweep() {
  std::uint64_t now = base::monotonic_seconds();
  for (auto& [key, peer] : peers_) peer->check_patience(now);
  accept();
  if (!peers_.empty()) sweep_ = reactor_.after(kSweepMilliseconds, [this] { sweep(); });
}

}  // namespace serving
