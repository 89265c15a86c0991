// Owns: calling `systemctl --user`. Called by: cli/install, cli/client_verbs. Never: a shell, or
// without a time limit of its caller where there may be no manager: see has_manager().
#pragma once
#include <optional>
#include <string>
#include <vector>

namespace cli {

/// Whether a user's manager runs, without asking it: systemctl would wait for one that hangs.
bool has_manager();
/// What `systemctl --user WORDS` printed; nothing if it failed.
std::optional<std::string> systemctl(std::vector<const char*> words);

}  // namespace cli
