// Owns: the verb `profile`: the filter as a file, for engines that load it by themselves. Called
// by: verbs. Never: allows what the base denies.
#pragma once
#include "cli/verbs.hpp"

namespace cli {

Action prepare_profile(CLI::App& options);

}  // namespace cli
