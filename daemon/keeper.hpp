// Owns: our end of the service manager's protocol (sd_notify(3), sd_listen_fds(3)): what it is
// told, and the descriptors it keeps for our successor. The manager is systemd, or our own holder.
// Called by: the daemon verb, control, recovery. Never: blocks the reactor, or loses a message to a
// manager that is slow: what does not go out at once waits in order. Without a manager it does
// nothing.
#pragma once
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "ring/reactor.hpp"

namespace serving {

using NamedFds = std::multimap<std::string, base::Fd>;
/// The first of that name, out of them; empty: there is none.
base::Fd take_one(NamedFds& from, const char* name);

class Keeper {
 public:
  /// No manager.
  Keeper() = default;
  /// Takes NOTIFY_SOCKET (path or @abstract), WATCHDOG_*, LISTEN_* out of the environment; the
  /// descriptors become close-on-exec. The message names the variable that makes no sense.
  static base::Checked<Keeper> from_environment();
  /// For a daemon that the holder has forked: one end of a pair of datagram sockets.
  static Keeper over(base::Fd notify, NamedFds inherited,
                     std::optional<std::chrono::milliseconds> watchdog = std::nullopt);

  /// What the manager kept for us, and sockets it listens on for us, by name. Whoever takes one
  /// over erases it here.
  NamedFds& inherited() { return inherited_; }
  /// Whether anybody is there to keep descriptors.
  bool present() const { return notify_.valid(); }
  /// Messages that the manager has no room for are then sent later, by this reactor's timer. This
  /// must not move any more, and must be gone before the reactor is.
  void attach(ring::Reactor& reactor) { reactor_ = &reactor; }

  /// Keeps duplicates of `fds` under `name` until they are removed. What is there already under the
  /// name stays there. systemd drops a descriptor that it has already, under whatever name: two
  /// descriptors of one open file are one to it.
  void store(std::string_view name, std::span<const int> fds);
  void store(std::string_view name, int fd) { store(name, std::span(&fd, 1)); }
  /// Lets go of all that is kept under `name`.
  void remove(std::string_view name);

  void ready();
  void status(std::string_view text);
  void reloading();
  void stopping();
  /// Within which time the manager wants to hear a ping; nothing: not at all.
  std::optional<std::chrono::milliseconds> watchdog_interval() const { return watchdog_; }
  void ping();
  /// Before we leave: waits for what is still to be sent, so long at most.
  void flush(std::chrono::milliseconds most);
  /// To hear what the other end says; systemd says nothing.
  const base::Fd& socket() const { return notify_; }
  /// Messages that wait for room.
  std::size_t queued() const { return queue_.size(); }

  /// What may name a descriptor: 1 to 255 printable characters, no ':'.
  static bool valid_name(std::string_view name);

 private:
  struct Message {
    std::string text;
    std::vector<base::Fd> fds;
  };
  enum class Sent { yes, no_room, never };
  void send(std::string text, std::span<const int> fds = {});
  Sent try_send(const std::string& text, std::span<const int> fds);
  bool drain();
  void drain_later();

  base::Fd notify_;
  NamedFds inherited_;
  std::optional<std::chrono::milliseconds> watchdog_;
  std::deque<Message> queue_;
  ring::Reactor* reactor_ = nullptr;
  ring::Timer retry_;
  bool retrying_ = false;
};

}  // namespace serving
