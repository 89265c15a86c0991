// Owns: nothing; it reads and replaces the JSON files of a bundle. Called by: cli/runtime_verb,
// cli/hook_verb, runtime/record. Never: follows a link at the file's name, reads more than a limit,
// or leaves half a file behind.
#pragma once
#include <sys/types.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace oci {

using Json = nlohmann::json;

inline constexpr std::size_t kMostJsonBytes = 16 << 20;
inline constexpr std::size_t kMostJsonDepth = 64;
/// Commas, colons and opening brackets: each value costs memory many times its length.
inline constexpr std::size_t kMostJsonParts = 1 << 20;

struct FileText {
  std::string text;
  mode_t mode = 0600;
  uid_t uid = 0;
  gid_t gid = 0;
};

/// A regular file of at most `most` bytes, its last name no link. The message names the path.
base::Checked<FileText> read_regular(const std::string& path, std::size_t most = kMostJsonBytes);
/// All of a descriptor: standard input.
base::Checked<std::string> read_all(int fd, std::size_t most = kMostJsonBytes);

/// The file gets the new text with the mode and the owner it had, in one step.
base::Checked<base::Unit> replace_file(const std::string& path, const FileText& wanted);

/// An object. Refused: what is no JSON, too deep, too many parts, a key twice in one object; the
/// message begins with `name`.
base::Checked<Json> parse_object(const std::string& text, const std::string& name);
/// With the numbers as they were. Strings that are no UTF-8 do not get past parse_object.
std::string json_text(const Json& json);

}  // namespace oci
