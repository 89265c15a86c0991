#include "daemon/tray.hpp"

#include <sys/socket.h>

#include <array>
#include <unordered_map>

#include "base/unix_socket.hpp"

namespace serving {
namespace {

// The kernel forgets an unlinked file that nobody has open some ten microseconds later.
constexpr std::uint32_t kMomentMs = 5;
constexpr std::size_t kLongestName = 255;  // FDNAME of sd_pid_notify_with_fds(3)

}  // namespace

base::Result<std::unique_ptr<Tray>> Tray::make(ring::Reactor& reactor, Stays stays) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return base::fail_errno();
  base::Fd in(ends[0]), out(ends[1]);
  return std::unique_ptr<Tray>(new Tray(reactor, std::move(in), std::move(out), std::move(stays)));
}

Tray::Named Tray::look_into(const base::Fd& reading_end) {
  Named found;
  std::array<char, kLongestName> text;
  base::peek_with_fds(reading_end.get(), text,
                      [&](std::string_view name, std::vector<base::Fd> fds) {
                        found.emplace_back(name, fds.empty() ? base::Fd() : std::move(fds.front()));
                      });
  return found;
}

bool Tray::put(const std::string& name, int fd) {
  if (name.size() > kLongestName) return false;
  if (!base::send_with_fds(in_.get(), name, std::span(&fd, 1), MSG_DONTWAIT)) return false;
  wanted_.insert(name);
  holds_any_ = true;
  wait();
  return true;
}

void Tray::wait() {
  if (std::exchange(waiting_, true)) return;
  moment_ = reactor_.after(kMomentMs, [this] {
    waiting_ = false;
    hand_on();
  });
}

bool Tray::remove(const std::string& name) {
  if (wanted_.erase(name) == 0) return false;
  if (wanted_.empty()) empty();
  return true;
}

void Tray::hand_on() {
  // The same name may lie here twice, of a file that is gone and of the one after it.
  std::unordered_map<std::string, base::Fd> last;
  if (!wanted_.empty())
    for (auto& [name, fd] : look_into(out_)) last[name] = std::move(fd);
  for (const auto& [name, fd] : last)
    if (fd.valid() && wanted_.erase(name) > 0) stays_(name, fd.get());
  if (wanted_.empty()) return empty();
  wait();  // too many descriptors are open to take these out
}

// A message whose descriptors are not asked for takes them along.
void Tray::empty() {
  char byte;
  while (holds_any_ && ::recv(out_.get(), &byte, 1, MSG_DONTWAIT) >= 0) {
  }
  holds_any_ = false;
}

}  // namespace serving
