// Owns: the files in which the ids of layers are remembered, one file a layer. Called by:
// images/podman, images/image, images/bundle. Never: believes a file that is not whole and ours, or
// fails: who can not read or write the cache works without.
#pragma once
#include <sys/stat.h>

#include <optional>
#include <string>

#include "images/layer.hpp"

namespace images {

/// Names what was read by what the kernel says of it, which nobody who wrote it can choose: device,
/// inode, size and change time. A digest that an archive claims would let one image write
/// another's entry.
std::string cache_key(const struct stat& status);

class PlanCache {
 public:
  /// `directory` is made when something is stored; empty: nothing is remembered.
  explicit PlanCache(std::string directory) : directory_(std::move(directory)) {}
  std::optional<LayerIds> load(const std::string& key) const;
  void store(const std::string& key, const LayerIds& layer) const;

 private:
  std::string directory_;
};

/// The text of such a file, and back; nothing when it is not exactly that.
std::string cache_text(const LayerIds& layer);
std::optional<LayerIds> parse_cache(std::string_view text);

}  // namespace images
