// Owns: what `run` does for an image engine (podman, buildah, containerd, ...): it goes where
// podman's processes are, as podman's own second process would, and has a supervisor that keeps
// owners. Called by: the run verb, before exec. Never: starts the engine.
#pragma once
#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/config.hpp"

namespace cli {

/// By its name; a path may stand before it.
bool is_engine(const std::string& program);

/// The calling process becomes root of podman's user namespace and enters podman's mounts, with the
/// environment that podman's processes have there; who is root already stays where he is. Then its
/// calls, and those of all that it starts, are answered. Without a daemon that does that nothing
/// may be executed: an owner would be lost.
/// `command`: what will be executed; one that only unpacks images has fewer calls answered.
base::Checked<base::Unit> enter_engine(const config::Config& config,
                                       const std::vector<std::string>& command);

/// The directories of layers, as engine.stores has them ("DIR:DIR"), or where podman and containerd
/// of this user keep theirs.
std::string engine_stores(const config::Config& config);

}  // namespace cli
