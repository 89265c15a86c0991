// Owns: nothing; it finds the directory in which the layers of a bundle's root can be seen. Called
// by: cli/runtime_verb. Never: mounts or walks anything.
#pragma once
#include <string>
#include <string_view>

namespace oci {

/// Where the file system of device `major:minor` ("0:56") is mounted as a whole at a path that ends
/// in "/merged", by a text as in /proc/self/mountinfo; empty if nowhere. buildah binds podman's
/// root to a directory of its own.
std::string merged_mount(std::string_view mountinfo, std::string_view device);

struct ImageRoot {
  std::string path;
  /// The root is a FUSE mount whose layers are not known: its owners are what somebody shows, so
  /// only its files say something.
  bool shown_only = false;
};
ImageRoot image_root(const std::string& root);

}  // namespace oci
