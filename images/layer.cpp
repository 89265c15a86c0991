#include "images/layer.hpp"

namespace images {

base::Checked<LayerIds> read_layer(int root_fd, const Limits& limits, const Progress& progress) {
  TRY(walked, read_tree(root_fd, limits, progress));
  LayerIds layer{std::move(walked.found), {}, walked.complete};
  for (std::size_t i = 0; i < kAccountPaths.size(); ++i) {
    FoundIds found;
    if (read_account_file(root_fd, static_cast<AccountFile>(i), found))
      layer.accounts[i] = std::move(found);
  }
  return layer;
}

FoundIds merge(std::span<const LayerIds> bottom_first) {
  FoundIds all;
  for (std::size_t i = 0; i < kAccountPaths.size(); ++i)
    for (std::size_t at = bottom_first.size(); at-- > 0;)
      if (bottom_first[at].accounts[i]) {
        all.add_all(*bottom_first[at].accounts[i]);
        break;
      }
  for (const LayerIds& layer : bottom_first) all.add_all(layer.owners);
  return all;
}

}  // namespace images
