// Owns: what every serving process does at its start: a child that says when it is ready, the limit
// of descriptors. Called by: the mount_program, the daemon verb. Never: leaves the caller waiting
// for a child that has died.
#pragma once
#include <functional>
#include <string>

#include "base/fd.hpp"

namespace cli {

/// As many descriptors as this process may have.
void raise_descriptor_limit();

/// Forks. The child's exit code is what `serve` returns; a byte into `ready` says that it serves.
/// Returns when that has come (kDone) or the child has ended, having said why (kFailed). `name` is
/// for the sentence about one that a signal has ended: "the daemon".
int in_background(const std::string& name, const std::function<int(base::Fd ready)>& serve);

}  // namespace cli
