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

LayerIds combine(std::span<const LayerIds> bottom_first) {
  LayerIds all;
  for (const LayerIds& layer : bottom_first) {
    all.owners.add_all(layer.owners);
    all.complete = all.complete && layer.complete;
    for (std::size_t i = 0; i < kAccountPaths.size(); ++i)
      if (layer.accounts[i]) all.accounts[i] = layer.accounts[i];
  }
  return all;
}

FoundIds merge(std::span<const LayerIds> bottom_first) {
  const LayerIds one = combine(bottom_first);
  FoundIds all;
  for (const auto& accounts : one.accounts)
    if (accounts) all.add_all(*accounts);
  all.add_all(one.owners);
  return all;
}

}  // namespace images
