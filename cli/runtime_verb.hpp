// Owns: being an OCI runtime: what happens to a bundle before crun or runc gets it. Called by:
// cli/run, as verb `runtime` and as the program usernetes-identity-runtime. Never: stays: in the
// end this process is the real runtime, with the arguments, descriptors and environment it was
// given.
#pragma once
#include <span>

#include "cli/verbs.hpp"

namespace cli {

inline constexpr const char* kRuntimeProgram = "usernetes-identity-runtime";

/// `words`: what follows the program's name. Returns only if something is wrong: 1, with a sentence
/// on stderr and, as engines expect, in the file of --log.
int runtime_program(std::span<const char* const> words);

/// Row of the table of verbs; the words are another program's and do not get here.
Action prepare_runtime(CLI::App& options);

}  // namespace cli
