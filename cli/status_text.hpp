// Owns: a daemon's answers (docs/STATUS.md) as people read them. Called by: cli/client_verbs.
// Never: believes that a field is there, or of the type it should have: the daemon may be another
// version.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

namespace cli {

std::string status_text(const nlohmann::json& status);
/// "" if there are none.
std::string containers_text(const nlohmann::json& status);
std::string mounts_text(const nlohmann::json& mounts);
std::string inflight_text(const nlohmann::json& inflight);
std::string reload_text(const nlohmann::json& reloaded);

}  // namespace cli
