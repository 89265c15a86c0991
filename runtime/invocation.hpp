// Owns: nothing; it finds in the command line of an OCI runtime what concerns us: the verb, the
// bundle, the container. Called by: cli/runtime_verb. Never: changes the command line or complains
// about it; what is wrong with it the real runtime says.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace oci {

/// Options of crun and runc, and the first words that are none. Missing ones are empty.
struct Invocation {
  std::string verb;
  std::string id;                      // of the container
  std::string root;                    // --root
  bool debug = false;                  // --debug
  std::string log, log_format;         // --log, --log-format
  std::string bundle = ".";            // create, run: -b
  std::string config = "config.json";  // create, run: crun's -f, within the bundle
  std::string process;                 // exec: -p
  std::string user;                    // exec: -u
  std::vector<std::string> groups;     // exec: runc's -g

  bool starts() const { return verb == "create" || verb == "run"; }
  /// The file that says what to start.
  std::string config_path() const;
};

/// `words`: what follows the program's name. An option that is in no table is taken for a flag.
Invocation read_invocation(std::span<const char* const> words);

}  // namespace oci
