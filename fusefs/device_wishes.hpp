// Owns: device nodes that somebody is about to make by a call that the kernel refuses in a user
// namespace. Who asks makes a plain file instead, and what comes into being is a record: a device
// to look at, which nobody can open as one. Called by: the handlers of getxattr and mknod, and the
// daemon for the supervisor. Never: makes anything, or tells a container that it is there.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "fusefs/node.hpp"

namespace fusefs {

class Overlay;

struct DeviceWish {
  std::string name;  // in the directory
  identity::Device device;
  bool granted = false;
};

class DeviceWishes {
 public:
  /// The name of an attribute that only the caller knows. He asks for it at the directory; which
  /// mount and which node that is, if it is ours, is found out so.
  std::string question();
  /// Of the handler that was asked. False: it is no question of ours.
  bool asked(const Overlay& fs, NodeId directory, std::string_view attribute);
  /// False: no mount of ours was asked. Stands until forget().
  bool wish(const std::string& question, std::string name, identity::Device device);
  bool granted(const std::string& question) const;
  void forget(const std::string& question) { all_.erase(question); }
  /// Whether a plain file of that name is to be a device; nullptr: no.
  DeviceWish* find(const Overlay& fs, NodeId directory, std::string_view name);

 private:
  struct Place {
    const Overlay* fs = nullptr;
    NodeId directory = 0;
    DeviceWish wanted;  // without a name: nothing yet
  };
  std::map<std::string, Place, std::less<>> all_;
};

}  // namespace fusefs
