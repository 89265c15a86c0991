// Owns: nothing; what is said of the text of a task's path, and how far one is followed. Called by:
// Tracees, handlers that need a file's directory. Never: looks at a file.
#pragma once
#include <linux/openat2.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace seccomp {

// A magic link leads where no path does, and what it means depends on who follows it.
inline constexpr std::uint64_t kBeneath = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
inline constexpr std::uint64_t kInRoot = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

/// What stands before the last name of a path, and that name if it is a plain one.
std::optional<std::pair<std::string, std::string>> split_path(std::string path);

/// /proc/self is a plain link, which would lead to ourselves.
inline bool names_itself(const std::string& path) {
  return path.find("proc/self") != path.npos || path.find("proc/thread-self") != path.npos;
}

}  // namespace seccomp
