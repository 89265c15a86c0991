// Owns: the verb `run`: a command in a namespace of planned ids, without a container. Called by:
// cli/verbs. Never: stays: the command is executed in the very process that was started, so that
// exit code, signals, terminal and descriptors need nobody in between.
#pragma once
#include "cli/verbs.hpp"

namespace cli {

/// Exit codes of `run` besides the command's own, as env(1) has them.
enum RunCode : int {
  kRunFailed = 125,      // of ours, with a sentence on stderr; the command was not started
  kNotExecutable = 126,  // the command was found but could not be executed
  kNotFound = 127,
};

Action prepare_run(CLI::App& options);

}  // namespace cli
