// Owns: the JSON texts that say what an image consists of: docker-archive, OCI, podman's storage.
// Called by: images/archive, images/layout, images/podman. Never: opens a file, throws, or takes a
// digest or layer id that could name anything but itself.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "identity/hash_slot.hpp"

namespace images {

/// Of a text that is a few kilobytes where it is honest.
inline constexpr std::size_t kMostManifest = 4 << 20;
inline constexpr std::size_t kMostStorageJson = 32 << 20;

/// One image of a docker-archive: paths within it.
struct DockerImage {
  std::string config;
  std::vector<std::string> layers;  // the lowest first
};
/// manifest.json. `where` begins each message.
base::Checked<std::vector<DockerImage>> parse_docker_manifest(std::string_view text,
                                                              const std::string& where);

struct OciReference {
  std::string path;  // "blobs/sha256/…", made of a digest that is one
  std::string name;  // org.opencontainers.image.ref.name, or empty
  bool other_platform = false;
};
/// index.json, an index or a manifest: an index has only `manifests`.
struct OciDocument {
  std::vector<OciReference> manifests;
  std::string config;               // path, or empty
  std::vector<std::string> layers;  // paths, the lowest first
};
base::Checked<OciDocument> parse_oci(std::string_view text, const std::string& where);

/// `config.User` of an image's config, e.g. "60000:60000" or "postgres"; empty: none.
base::Checked<std::string> parse_config_user(std::string_view text, const std::string& where);

/// The parts of a bundle's config.json that name ids.
struct BundleConfig {
  std::string root;  // as it stands there; relative to the bundle
  std::vector<identity::Id> uids, gids;
};
base::Checked<BundleConfig> parse_bundle_config(std::string_view text, const std::string& where);

struct StoredImage {
  std::string id, layer;  // 64 hexadecimal digits
  std::vector<std::string> names;
  std::string digest;
};
/// overlay-images/images.json.
base::Checked<std::vector<StoredImage>> parse_stored_images(std::string_view text,
                                                            const std::string& where);
struct StoredLayer {
  std::string id, parent;  // parent empty: the lowest
};
/// overlay-layers/layers.json.
base::Checked<std::vector<StoredLayer>> parse_stored_layers(std::string_view text,
                                                            const std::string& where);

/// 64 lower-case hexadecimal digits.
bool is_layer_id(std::string_view text);

}  // namespace images
