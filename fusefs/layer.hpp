// Owns: the layers of one mount and what was found out about them. Called by: Overlay, owner store.
// Never: is changed after the mount; believes a descriptor before it has looked; opens anything by
// an absolute path.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "fusefs/layer_fds.hpp"
#include "fusefs/options.hpp"

namespace fusefs {

using LayerIndex = std::uint16_t;

struct Layer {
  base::Fd root;  // O_PATH
  dev_t device = 0;
  std::uint8_t device_index = 0;  // layers on one file system share it
  bool typed_overrides =
      false;  // the root carries an override_stat: regular files may stand for others
};

struct LayerStack {
  std::vector<Layer> layers;  // top first; [0] is the upper one if there is one
  bool writable = false;
  base::Fd work;                 // O_PATH, <workdir>/work, emptied
  bool acls = true;              // every layer's file system keeps POSIX ACLs
  bool local = true;             // none is served by somebody who may hang or change it behind us
  bool device_whiteouts = true;  // mknod(char 0:0) works in work
  OpaqueForm opaque = OpaqueForm::user;

  /// Looks at each descriptor, whoever opened it, and empties work. `paths` is for messages, which
  /// name the directory which cannot be used and why.
  static base::Checked<LayerStack> adopt(LayerFds fds, const LayerPaths& paths,
                                         const OverlayOptions& options);
  /// The same of what this process opens itself.
  static base::Checked<LayerStack> open(const LayerPaths& paths, const OverlayOptions& options) {
    TRY(fds, LayerFds::open(paths));
    return adopt(std::move(fds), paths, options);
  }
};

}  // namespace fusefs
