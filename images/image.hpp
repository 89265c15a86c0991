// Owns: telling one kind of image from another. Called by: the verb plan. Never: starts anything,
// writes anything but the cache, or asks a registry.
#pragma once
#include <string>

#include "base/result.hpp"
#include "images/found.hpp"
#include "images/rootfs.hpp"

namespace images {

struct ReadOptions {
  std::string cache_dir;  // empty: nothing is remembered, all is read
  Limits limits{.time = std::chrono::minutes(2)};
  Progress progress;
};

struct Image {
  FoundIds found;
  std::string kind;  // "podman image", "OCI layout", "docker archive", "pod", ...
  unsigned layers = 1;
  unsigned from_cache = 0;  // of these
  bool pod = false;         // a pod's YAML: found is what its annotation should list
};

/// `reference`: a directory (root of an image, OCI layout, OCI bundle), an archive (docker, OCI, or
/// the root as tar; gzip, zstd, xz, bzip2), a pod's YAML, or the name or id of an image in podman's
/// storage. podman's prefixes ("oci:DIR", "docker-archive:FILE", ...) are understood.
base::Checked<Image> read_image(const std::string& reference, const ReadOptions& options);

/// "60000", "60000:70000" or a name: what is a number is added as of the process.
void add_user(FoundIds& found, const std::string& user, const std::string& origin);

}  // namespace images
