// Owns: the verb `install`: what a user's service consists of and where it lies. Called by:
// cli/verbs. Never: starts or stops anything, or needs root.
#pragma once
#include "cli/verbs.hpp"

namespace cli {

Action prepare_install(CLI::App& options);

}  // namespace cli
