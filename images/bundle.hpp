// Owns: nothing; it reads the ids that a container which is about to start needs, in a few
// milliseconds. Called by: the runtime wrapper before each create. Never: walks a layer a second
// time, or keeps a container waiting for a tree that is too large.
#pragma once
#include <string>

#include "base/result.hpp"
#include "images/found.hpp"

namespace images {

/// Accounts of the root directory `root`, owners of its files. Of podman's roots (the directory
/// `merged` of its overlay storage) the layers are read once, and kept in `cache_dir` by their id
/// (empty: nothing is kept); the container's own layer is walked each time. Other roots are walked
/// each time. What was cut by its time limit is a note.
base::Checked<FoundIds> read_bundle_root(const std::string& root, const std::string& cache_dir);

/// $XDG_CACHE_HOME/usernetes-identity/plan, or below $HOME/.cache; empty where neither is set.
std::string default_cache_dir();

}  // namespace images
