// Owns: the verb `config` (show, check, path) and the option --set. Called by: cli/verbs, verbs
// that take --set. Never: changes a file.
#pragma once
#include <memory>

#include "cli/verbs.hpp"
#include "config/toml.hpp"

namespace cli {

Action prepare_config(CLI::App& options);
/// Adds `--set section.key=value`. The sources of this process, with what --set brought once the
/// options are read.
std::shared_ptr<config::Sources> add_set_option(CLI::App& options);

}  // namespace cli
