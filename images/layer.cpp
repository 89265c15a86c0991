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

void Stack::add(LayerIds layer, std::size_t height) {
  all_.owners.add_all(layer.owners);
  all_.complete = all_.complete && layer.complete;
  for (std::size_t i = 0; i < kAccountPaths.size(); ++i) {
    if (!layer.accounts[i] || (all_.accounts[i] && height < heights_[i])) continue;
    all_.accounts[i] = std::move(layer.accounts[i]);
    heights_[i] = height;
  }
}

FoundIds flatten(const LayerIds& layer) {
  FoundIds all;
  for (const auto& accounts : layer.accounts)
    if (accounts) all.add_all(*accounts);
  all.add_all(layer.owners);
  return all;
}

}  // namespace images
