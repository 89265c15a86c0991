// Owns: the verb `plan`. Called by: cli/verbs. Never: assigns a slot or starts a container: it says
// what would be.
#pragma once
#include "cli/verbs.hpp"

namespace cli {

Action prepare_plan(CLI::App& options);

}  // namespace cli
