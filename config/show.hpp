// Owns: settings as a TOML text that config/toml reads back. Called by: cli (config show, install).
// Never: knows a key; the list is Config::fields().
#pragma once
#include <string>

#include "config/toml.hpp"

namespace config {

/// A basic string of TOML. What is not UTF-8 stays as it is, and TOML will not read it back.
std::string toml_string(std::string_view text);
/// All settings, section by section; with `origins` each line says where its value was written.
std::string as_toml(Settings const& settings, bool origins);
/// The file that `install` writes: every setting with its meaning, all commented out.
std::string example_toml();

}  // namespace config
