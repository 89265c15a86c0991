// Owns: descriptors that may be wanted for a moment only, where a crash does not lose them: they
// lie unread in a socket whose reading end the keeper has. Called by: Recovery. Never: bothers the
// keeper with one that is gone a moment later, which a file without a name mostly is.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "ring/reactor.hpp"

namespace serving {

class Tray {
 public:
  using Named = std::vector<std::pair<std::string, base::Fd>>;
  /// Who is still wanted a moment later; what it is given to is done before the tray is emptied.
  using Stays = std::function<void(const std::string& name, int fd)>;

  /// ENFILE, EMFILE.
  static base::Result<std::unique_ptr<Tray>> make(ring::Reactor& reactor, Stays stays);
  /// What lies in the tray of an earlier process, the oldest first, without taking it out. Some of
  /// it may be wanted no more. An empty descriptor: too many are open to look at this one.
  static Named look_into(const base::Fd& reading_end);

  /// To be given to the keeper before anything is put in.
  int reading_end() const { return out_.get(); }
  /// Whether there was room for it.
  bool put(const std::string& name, int fd);
  /// It is wanted no more; false: it does not lie here.
  bool remove(const std::string& name);

 private:
  Tray(ring::Reactor& reactor, base::Fd in, base::Fd out, Stays stays)
      : reactor_(reactor), in_(std::move(in)), out_(std::move(out)), stays_(std::move(stays)) {}
  void wait();
  void hand_on();
  void empty();

  ring::Reactor& reactor_;
  base::Fd in_, out_;
  Stays stays_;
  std::unordered_set<std::string> wanted_;
  bool holds_any_ = false;  // wanted or not
  bool waiting_ = false;    // for the moment to be over
  ring::Timer moment_;
};

}  // namespace serving
