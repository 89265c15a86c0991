// Owns: what one layer of an image contributes, and how layers become an image. Called by: the
// readers of podman's storage, of archives and of layouts. Never: undoes what an upper layer hides:
// an id too many costs a slot, an id too few a file without a name.
#pragma once
#include <array>
#include <optional>

#include "images/accounts.hpp"
#include "images/found.hpp"
#include "images/rootfs.hpp"

namespace images {

struct LayerIds {
  FoundIds owners;
  std::array<std::optional<FoundIds>, kAccountPaths.size()> accounts;  // of the files it has
  bool complete = true;  // false: a limit ended the reading
  friend bool operator==(const LayerIds&, const LayerIds&) = default;
};

/// Of an unpacked layer.
base::Checked<LayerIds> read_layer(int root_fd, const Limits& limits, const Progress& progress);

/// Layers as they become an image: owners of all, of each account file the uppermost version. Holds
/// one of each however many layers there are.
class Stack {
 public:
  /// `height`: of the layer in the image; layers come in any order.
  void add(LayerIds layer, std::size_t height);
  LayerIds& result() { return all_; }

 private:
  LayerIds all_;
  std::array<std::size_t, kAccountPaths.size()> heights_{};
};

/// Without telling the parts from each other.
FoundIds flatten(const LayerIds& layer);

}  // namespace images
