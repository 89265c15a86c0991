// Owns: the text of --version. Called by: cli. Never: needs a mount or root.
#pragma once
#include <string>

namespace cli {
/// Version, libraries and the kernel features that this machine offers, one a line.
std::string version_text();
}  // namespace cli
