// Owns: the process that stands in for a service manager where there is none: it starts the daemon,
// keeps the descriptors it is given (the datagrams are sd_notify(3)'s), and starts the daemon again
// when it dies. Called by: the daemon verb. Never: looks into what it keeps, has a ring or a
// thread, or needs a file: it forks the daemon from its own memory, so it can start it again from a
// mount namespace in which nothing is left.
#pragma once
#include <functional>

#include "base/fd.hpp"
#include "daemon/keeper.hpp"

namespace serving {

/// Exit code of a daemon that wants to be started again, by a newer build if there is one.
constexpr int kRestartCode = 75;
/// Under this name the daemon stores the socket of the holder which shall succeed this one.
constexpr const char* kSuccessor = "successor";

/// When a daemon that keeps dying is started again.
class Patience {
 public:
  /// After a life of so many milliseconds: how long to wait (milliseconds), or -1: give up.
  int after_life(std::int64_t milliseconds);

 private:
  static constexpr int kAtOnce = 5, kMost = 12;
  int short_lives_ = 0;
};

struct Holding {
  /// Runs in the child; its result is the exit code.
  std::function<int(Keeper keeper)> daemon;
  /// The daemon serves for the first time.
  std::function<void()> on_ready;
  /// What a holder before us has kept, and its socket: it ends when our daemon is ready, and serves
  /// on if that does not come.
  NamedFds kept;
  base::Fd predecessor;
};

/// Until the daemon leaves by itself (its exit code), or has given its descriptors to a successor
/// (0). A daemon that fails before it was ready for the first time is not started again.
int hold(Holding holding);

/// The other end of kSuccessor: takes what a holder sends until it says that this was all.
base::Checked<NamedFds> take_from_predecessor(const base::Fd& socket);

}  // namespace serving
