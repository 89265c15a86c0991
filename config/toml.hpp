// Owns: where settings come from and which source wins. Called by: cli and daemon at start and at
// reload. Never: lets toml++ or its exceptions out of the .cpp; a bad file leaves the old Config in
// force.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "config/config.hpp"
#include "config/setting.hpp"

namespace config {

/// A Config with the place where each value was written: "FILE:LINE", "environment variable NAME",
/// "--set"; a key that is not there has its built-in value. What was wrong stands in `problems` and
/// changed nothing.
struct Settings {
  Config config;
  std::map<std::string, std::string, std::less<>> origins;
  std::vector<std::string> problems;
};

/// `defaults` with the settings of a TOML text. Syntax error, unknown key, wrong type, out of
/// range: a message `FILE:LINE: ...` that says what is allowed.
base::Checked<Config> load_toml(std::string_view text, std::string_view file_name_for_messages,
                                Config defaults = {});
/// Adds what is right in the text to `settings`, and a problem for each thing that is wrong, in the
/// order of the lines.
void read_toml(std::string_view text, std::string_view file_name_for_messages, Settings& settings);
/// The same for a file. One that does not exist, or stands in a directory that we may not search,
/// is no problem and changes nothing.
void read_file(std::string const& path, Settings& settings);

/// Later entries win: system_dir/*.toml (sorted), user_file, environment, flags. Missing ones are
/// fine.
struct Sources {
  std::string system_dir = "/etc/usernetes-identity";
  std::string user_file;                                         // empty: none
  std::vector<std::pair<std::string, std::string>> environment;  // USERNETES_IDENTITY_SECTION_KEY
  std::vector<std::string> flags;                                // "section.key=value" of --set
};
/// The sources of this process: $XDG_CONFIG_HOME (else
/// $HOME/.config)/usernetes-identity/config.toml and its USERNETES_IDENTITY_* variables. `envp` as
/// environ(7).
Sources default_sources(char const* const* envp);
/// The files of `sources` in the order in which they are read, the user's last.
base::Checked<std::vector<std::string>> files_of(Sources const& sources);
/// Reads everything, whatever is wrong with some of it.
Settings read_sources(Sources const& sources);
/// The same for those who need all of it to be right: the first problem refuses.
base::Checked<Config> load_config(Sources const& sources);

}  // namespace config
