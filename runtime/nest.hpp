// Owns: nothing; it edits the JSON of a bundle so that the container gets a user namespace nested
// in ours. Called by: cli/runtime_verb, tests/runtime. Never: opens a file or makes a system call;
// it is told what the kernel says (runtime/kinship).
#pragma once
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "identity/pool.hpp"
#include "runtime/json_file.hpp"

namespace oci {

struct Nesting {
  std::vector<identity::Extent> uids, gids;
  std::string join;               // the user namespace to be joined; empty: a new one
  std::set<std::string> foreign;  // types of namespaces that it does not own, among those joined
  std::set<std::string> entered;  // of them: the runtime is in them before it starts
};

/// A setting that the container could not make: its namespace belongs to somebody else.
struct Setting {
  std::string name, value;
  std::string type;  // of the namespace it is in: "network", "ipc", "uts"
};

struct Edited {
  std::vector<Setting> settings;   // taken out; to be made where they belong before the start
  std::vector<std::string> notes;  // what was changed besides, for the log
};

/// Edits `config`, which read_spec has taken. Refused, with a sentence: what the kernel will not do
/// in a nested namespace and nothing can stand in for.
base::Checked<Edited> nest(Json& config, const Nesting& nesting);

using IdPairs = std::span<const std::pair<identity::Id, identity::Id>>;
/// The ids of `process` (as in process.json) become other ones. `user`: uid and gid as well, not
/// only additionalGids.
void put_ids(Json& process, IdPairs uids, IdPairs gids, bool user = true);
/// The same for a bundle, and for uid= and gid= of its mounts: it does without a user namespace of
/// its own. `process`: what of the process the runtime sets itself, without anybody to answer.
enum class Sets : std::uint8_t { nothing, groups, all };
void put_slots(Json& config, IdPairs uids, IdPairs gids, Sets process = Sets::all);

}  // namespace oci
