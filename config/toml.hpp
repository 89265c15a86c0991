// Owns: where settings come from and which source wins.
// Called by: cli and daemon at start and at reload.
// Never: lets toml++ or its exceptions out of the .cpp; a bad file leaves the old Config in force.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "config/config.hpp"
#include "config/setting.hpp"

namespace config {

/// `defaults` with the settings of a TOML text. Syntax error, unknown key, wrong type, out of
/// range: a message `FILE:LINE: ...` that says what is allowed.
base::Checked<Config> load_toml(std::string_view text, std::string_view file_name_for_messages,
                                Config defaults = {});

/// Later entries win: system_dir/*.toml (sorted), user_file, environment. Missing ones are fine.
struct Sources {
  std::string system_dir = "/etc/usernetes-identity";
  std::string user_file;                                         // empty: none
  std::vector<std::pair<std::string, std::string>> environment;  // USERNETES_IDENTITY_SECTION_KEY
};
/// The sources of this process: $XDG_CONFIG_HOME (else
/// $HOME/.config)/usernetes-identity/config.toml and its USERNETES_IDENTITY_* variables. `envp` as
/// environ(7).
Sources default_sources(char const* const* envp);
base::Checked<Config> load_config(Sources const& sources);

}  // namespace config
