// Owns: the verb `hook`: podman's precreate hook. Called by: cli/verbs. Never: gives a namespace;
// that takes the runtime. It turns user and groups of the process into slots of ours.
#pragma once
#include "cli/verbs.hpp"

namespace cli {

Action prepare_hook(CLI::App& options);

}  // namespace cli
