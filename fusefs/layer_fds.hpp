// Owns: the directories of one mount, opened, before anything is known of them. Called by: the
// mount_program, in the namespaces where the paths mean something. Never: is trusted: whoever
// serves them looks at them again (LayerStack::adopt).
#pragma once
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace fusefs {

/// Where the mount_program was told to find things; paths as given.
struct LayerPaths {
  std::vector<std::string> lower;  // top first
  std::string upper, work;         // empty: read-only
};

struct LayerFds {
  base::Fd upper, work;         // O_PATH, of one clone; not valid: read-only
  std::vector<base::Fd> lower;  // O_PATH, top first

  /// Opens all; the message names the directory which cannot be used and why.
  static base::Checked<LayerFds> open(const LayerPaths& paths);
  /// As they go over a socket: upper and work if there are any, then the lowers. Borrowed.
  std::vector<int> in_order() const;
  static base::Checked<LayerFds> from_order(std::vector<base::Fd> all, const LayerPaths& paths);
};

}  // namespace fusefs
