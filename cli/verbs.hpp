// Owns: the table of verbs, and reading a verb's options. Called by: cli/run, tests/cli (which
// compares the manual page with it). Never: does a verb's work; that is in the verb's own file.
//
// A verb is one row of kVerbs in verbs.cpp: its function adds its options to a CLI::App and returns
// what to do once they are read. --help, `help VERB`, suggestions, README and the manual page
// follow from the row and the options.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace cli {

/// Exit codes of the verbs. The mount_program knows 0 and 1 only.
enum ExitCode : int {
  kDone = 0,
  kFailed = 1,    // with a sentence on stderr
  kUsage = 2,     // unknown verb or option
  kNoDaemon = 3,  // no daemon is running
};

/// What a verb does after its options are read; returns the exit code.
using Action = std::function<int()>;

struct Verb {
  std::string_view name;
  std::string_view summary;              // "show …", one line, no full stop
  Action (*prepare)(CLI::App& options);  // what options.footer() says goes into the manual page
  bool internal = false;                 // started by ourselves; in no list
  int usage_code = kUsage;               // of a wrong option
  bool passes_on = false;                // takes another program's words: -o there is no mount's
};

std::span<const Verb> verbs();
/// nullptr: there is none.
const Verb* find_verb(std::string_view name);
/// `arguments`: what follows the verb. Complains about wrong ones on stderr and returns kUsage.
int run_verb(const Verb& verb, std::span<const char* const> arguments);
/// Says on stderr that there is no such verb and which one may have been meant; returns kUsage.
int refuse_verb(std::string_view word);

/// `usernetes-identity: MESSAGE` on stderr; returns `code`.
int complain(const std::string& message, int code = kFailed);

/// The part of --help that names the verbs.
std::string verbs_help();
/// The same as rows of a Markdown table, and as sections of the manual page with all options.
std::string verbs_markdown();
std::string verbs_roff();

}  // namespace cli
