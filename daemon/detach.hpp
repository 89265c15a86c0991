// Owns: taking mounts out of the mount namespaces of other processes. Called by: Service::stop; the
// mount_program asks for a mount's device. Never: makes the reactor wait: a path may lead through
// one of our own mounts, so this is another process's work, while we serve.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "ring/reactor.hpp"

namespace serving {

/// The device of the file system that is mounted on `path`, topmost, in our own namespace; "" if
/// nothing is. Asks the file system itself nothing.
std::string device_at(const std::string& path);

class Detacher {
 public:
  Detacher() = default;
  /// In every mount namespace that a process of ours is in and that we may enter, detaches what is
  /// on these devices. `done` comes when the attempt is over, with what went wrong if anything.
  static base::Checked<Detacher> start(ring::Reactor& reactor, std::vector<std::string> devices,
                                       std::function<void()> done);

 private:
  base::Fd process_;  // a pidfd
  ring::Watch watch_;
};

}  // namespace serving
