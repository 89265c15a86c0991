// Owns: following an OCI index to the layers of its images. Called by: images/archive and
// images/layout, which know how to get at a blob. Never: follows more references than any honest
// index has.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace images {

struct ImageParts {
  std::vector<std::string> layers;  // paths, the lowest first
  std::string user;                 // of the image's config
};

/// The text of `blobs/sha256/…` or `index.json`, or why it can not be had.
using Fetch = std::function<base::Checked<std::string>(const std::string& path)>;

/// Images of this machine's platform, or all where none is; those named `tag` unless that is empty.
/// `name`: of the layout, for messages.
base::Checked<std::vector<ImageParts>> follow_index(const Fetch& fetch, const std::string& tag,
                                                    const std::string& name);

}  // namespace images
