// Owns: nothing; what on_mknod needs of the mounts that this process serves. Called by: on_mknod.
// daemon/ adapts fusefs to it: fusefs and seccomp do not know each other. Never: judges who may
// make what: the kernel does, by the plain file that the task makes in the device's place.
#pragma once
#include <string>

#include "identity/owner_record.hpp"

namespace seccomp {

class DeviceSource {
 public:
  virtual ~DeviceSource() = default;
  /// The name of an attribute that only the caller knows, "": there is none. Which mount and
  /// directory is meant is told by asking the directory for it (getxattr).
  virtual std::string question() = 0;
  /// The next plain file of that name in the directory becomes the device; who makes it is told
  /// EEXIST. False: the directory is not of a mount of ours.
  virtual bool wish(const std::string& question, const std::string& name,
                    const identity::Device& device) = 0;
  virtual bool granted(const std::string& question) const = 0;
  virtual void forget(const std::string& question) = 0;
};

}  // namespace seccomp
