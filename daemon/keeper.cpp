#include "daemon/keeper.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/io.hpp"
#include "base/log.hpp"
#include "base/unix_socket.hpp"

namespace serving {
namespace {

namespace log = base::log;

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
constexpr std::uint32_t kRetryMs = 5;
constexpr std::size_t kMostInherited = 65536;

// The variable's value, which is gone from the environment then: our children are not meant.
std::optional<std::string> take_variable(const char* name) {
  const char* value = ::getenv(name);
  if (!value) return std::nullopt;
  std::string text = value;
  ::unsetenv(name);
  return text;
}

std::optional<std::uint64_t> number(const std::string& text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_ours(const std::optional<std::string>& pid) {
  return !pid || number(*pid) == static_cast<std::uint64_t>(::getpid());
}

base::Checked<base::Fd> connect_to(const std::string& address) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  bool known = address.size() > 1 && (address[0] == '/' || address[0] == '@');
  if (!known || address.size() >= sizeof name.sun_path)
    return base::refuse("NOTIFY_SOCKET=" + address + ": is neither a path nor @name");
  std::memcpy(name.sun_path, address.data(), address.size());
  if (address[0] == '@') name.sun_path[0] = '\0';
  base::Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
  // Connected, so that we need no path later on.
  if (!socket.valid() ||
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), length) != 0)
    return base::refuse_errno("NOTIFY_SOCKET=" + address);
  return socket;
}

// LISTEN_FDS descriptors from 3 on, called as LISTEN_FDNAMES says.
base::Checked<NamedFds> take_fds() {
  auto pid = take_variable("LISTEN_PID");
  auto count_text = take_variable("LISTEN_FDS");
  auto names = take_variable("LISTEN_FDNAMES").value_or("");
  NamedFds found;
  if (!count_text || !pid || !is_ours(pid)) return found;
  auto count = number(*count_text);
  if (!count || *count > kMostInherited)
    return base::refuse("LISTEN_FDS=" + *count_text + ": is not a number of descriptors");
  std::size_t at = 0;
  for (int fd = kFirst; fd < kFirst + static_cast<int>(*count); ++fd) {
    std::size_t end = std::min(names.find(':', at), names.size());
    std::string name = names.substr(at, end - at);
    at = std::min(end + 1, names.size());
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
      return base::refuse("LISTEN_FDS=" + *count_text + ": descriptor " + std::to_string(fd) +
                          " is not open");
    found.emplace(name.empty() ? "unknown" : name, base::Fd(fd));
  }
  return found;
}

}  // namespace

base::Fd take_one(NamedFds& from, const char* name) {
  auto found = from.find(name);
  if (found == from.end()) return {};
  base::Fd fd = std::move(found->second);
  from.erase(found);
  return fd;
}

bool Keeper::valid_name(std::string_view name) {
  auto fits = [](unsigned char c) { return c >= 0x20 && c < 0x7f && c != ':'; };
  return !name.empty() && name.size() <= 255 && std::all_of(name.begin(), name.end(), fits);
}

base::Checked<Keeper> Keeper::from_environment() {
  Keeper keeper;
  auto usec = take_variable("WATCHDOG_USEC");
  auto watchdog_pid = take_variable("WATCHDOG_PID");
  auto address = take_variable("NOTIFY_SOCKET");
  TRY(inherited, take_fds());
  keeper.inherited_ = std::move(inherited);
  if (usec && is_ours(watchdog_pid)) {
    auto value = number(*usec);
    if (!value || *value == 0)
      return base::refuse("WATCHDOG_USEC=" + *usec + ": is not a number of microseconds");
    auto interval = std::max<std::uint64_t>(*value / 1000, 2);
    keeper.watchdog_ = std::chrono::milliseconds(std::min<std::uint64_t>(interval, 86'400'000));
  }
  if (address && !address->empty()) {
    TRY(socket, connect_to(*address));
    keeper.notify_ = std::move(socket);
  }
  return keeper;
}

Keeper Keeper::over(base::Fd notify, NamedFds inherited,
                    std::optional<std::chrono::milliseconds> watchdog) {
  Keeper keeper;
  keeper.watchdog_ = watchdog;
  keeper.notify_ = std::move(notify);
  keeper.inherited_ = std::move(inherited);
  return keeper;
}

void Keeper::store(std::string_view name, std::span<const int> fds) {
  if (!present() || !valid_name(name)) return;
  for (; !fds.empty(); fds = fds.subspan(std::min(fds.size(), base::kMostFdsAtOnce)))
    // FDPOLL=0: a manager that watched for hang-ups would drop a socket whose other end is closed.
    send("FDSTORE=1\nFDPOLL=0\nFDNAME=" + std::string(name),
         fds.first(std::min(fds.size(), base::kMostFdsAtOnce)));
}

void Keeper::remove(std::string_view name) {
  if (valid_name(name)) send("FDSTOREREMOVE=1\nFDNAME=" + std::string(name));
}

void Keeper::ready() {
  send("READY=1");
}

void Keeper::status(std::string_view text) {
  std::string line = "STATUS=" + std::string(text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  send(std::move(line));
}

void Keeper::reloading() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  send("RELOADING=1\nMONOTONIC_USEC=" +
       std::to_string(now.tv_sec * 1'000'000ll + now.tv_nsec / 1000));
}

void Keeper::stopping() {
  send("STOPPING=1");
}

// One that waits already says the same.
void Keeper::ping() {
  if (queue_.empty()) send("WATCHDOG=1");
}

Keeper::Sent Keeper::try_send(const std::string& text, std::span<const int> fds) {
  auto sent = base::send_with_fds(notify_.get(), text, fds, MSG_DONTWAIT);
  if (sent) return Sent::yes;
  // ETOOMANYREFS: too many descriptors of this user are under way, in whatever sockets.
  const int error = sent.error().value;
  if (error == EAGAIN || error == ENOBUFS || error == ENOMEM || error == ETOOMANYREFS)
    return Sent::no_room;
  static log::Limiter limiter(1);
  log::limited(limiter, log::Level::warning, "keeper.send",
               "message=" + log::quoted(text) + " error=" + log::quoted(std::strerror(error)));
  return Sent::never;
}

void Keeper::send(std::string text, std::span<const int> fds) {
  if (!present()) return;
  Sent sent = drain() ? try_send(text, fds) : Sent::no_room;
  if (sent != Sent::no_room) return;
  Message message{std::move(text), {}};
  for (int fd : fds) message.fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, kFirst));
  queue_.push_back(std::move(message));
  drain_later();
}

// Whether nothing is left.
bool Keeper::drain() {
  while (!queue_.empty()) {
    std::vector<int> fds;
    for (const base::Fd& fd : queue_.front().fds) fds.push_back(fd.get());
    if (try_send(queue_.front().text, fds) == Sent::no_room) return false;
    queue_.pop_front();
  }
  return true;
}

// The socket cannot be watched for this: POLLOUT tells of our side only.
void Keeper::drain_later() {
  if (!reactor_ || std::exchange(retrying_, true)) return;
  retry_ = reactor_->after(kRetryMs, [this] {
    retrying_ = false;
    if (!drain()) drain_later();
  });
}

void Keeper::flush(std::chrono::milliseconds most) {
  auto end = std::chrono::steady_clock::now() + most;
  while (!drain() && std::chrono::steady_clock::now() < end) ::poll(nullptr, 0, kRetryMs);
}

}  // namespace serving
