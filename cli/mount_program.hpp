// Owns: the mount_program contract: arguments, exit codes, daemonising. Called by: cli/run.
// Never: leaves a descriptor 0-2 of its caller open once the mount serves, or exits 0 before it
// does.
#pragma once
#include <span>
#include <string>

namespace cli {
/// `arguments` without the program's name. Returns the exit code: 0 mounted (or help), 1 any
/// failure, with a sentence on stderr that names what is wrong.
int mount_program(const std::string& program, std::span<const char* const> arguments);
}  // namespace cli
