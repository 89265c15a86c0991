// Owns: what a running daemon does with changed settings. Called by: Server::reload (the verb
// `reload`, SIGHUP), tests. Never: reads a file: who asks has read them, we may see others.
#pragma once
#include <string>
#include <vector>

#include "config/config.hpp"
#include "daemon/protocol.hpp"

namespace serving {

/// One setting that was changed by a reload, or would have been.
struct Change {
  std::string key, from, to;
  config::Effect effect = config::Effect::restart;
};

struct Reloaded {
  std::vector<Change> applied;  // at once, or with the next mount: Effect says which
  std::vector<Change> kept;     // the old value stays in force
  Json as_json() const;
};

/// Moves to `now` what may change while mounts are served, and says what differs.
Reloaded take_over(config::Config& now, const config::Config& wanted);
/// `base` with the texts of a request's `settings`, an object key -> text. A text that is not
/// allowed or a key that this daemon does not know refuses all of them.
base::Checked<config::Config> settings_of(const Json& request, const config::Config& base);

}  // namespace serving
