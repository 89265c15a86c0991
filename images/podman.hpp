// Owns: finding an image in podman's storage (containers/storage with the overlay driver). Called
// by: images/image. Never: locks or changes the storage, or asks podman.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "images/image.hpp"

namespace images {

/// Where podman may keep this user's images, the likeliest first: graphroot of storage.conf,
/// $XDG_DATA_HOME/containers/storage, ~/.local/share/containers/storage, for root /var/lib.
std::vector<std::string> podman_storages();
/// `graphroot` (or rootless_storage_path) of a storage.conf; empty: not set there.
std::string graphroot_of(std::string_view storage_conf);

/// `reference`: a name, with or without registry and tag, or at least 6 digits of an id. Nothing
/// where no storage has it; a refusal where it means several images.
base::Checked<std::optional<Image>> read_podman_image(const std::string& reference,
                                                      const std::vector<std::string>& storages,
                                                      const ReadOptions& options);

}  // namespace images
