// Owns: reading one archive file, or one OCI layout, as an image. Called by: images/image. Never:
// unpacks anything to disk, or believes a digest it did not compute.
#pragma once
#include "images/image.hpp"

namespace images {

/// docker-archive, OCI archive, or the root of an image as tar. `tag`: which image of an OCI
/// archive; empty: all.
base::Checked<Image> read_archive(const std::string& name, int fd, const std::string& tag,
                                  const ReadOptions& options);
/// A directory that has the file oci-layout.
base::Checked<Image> read_layout(const std::string& name, int root_fd, const std::string& tag,
                                 const ReadOptions& options);

}  // namespace images
