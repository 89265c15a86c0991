// Owns: nothing; what is said of the text of a path. Called by: handlers that need a file's
// directory. Never: looks at a file.
#pragma once
#include <optional>
#include <string>
#include <utility>

namespace seccomp {

/// What stands before the last name of a path, and that name if it is a plain one.
std::optional<std::pair<std::string, std::string>> split_path(std::string path);

}  // namespace seccomp
