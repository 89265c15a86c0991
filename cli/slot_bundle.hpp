// Owns: the ids of a bundle or a process that has no user namespace of its own: slots of ours.
// Called by: the verbs runtime and hook. Never: puts in a slot that is not claimed.
#pragma once
#include <optional>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "cli/planning.hpp"
#include "runtime/json_file.hpp"
#include "runtime/nest.hpp"
#include "runtime/spec.hpp"

namespace cli {

using Slots = std::vector<std::pair<identity::Id, identity::Id>>;  // true id, slot

struct SlotIds {
  Slots uids, gids;
  std::string doubt;  // see Planned
};
/// Claims the slots of what must be there.
base::Checked<SlotIds> claim_slots(const config::Config& config, const std::vector<oci::Must>& uids,
                                   const std::vector<oci::Must>& gids);

/// How a map that is there already names what must be: itself where it is on the slot of the plan,
/// else (`aliases`) by the alias of that slot, as a pair. Nothing: it can not.
std::optional<Slots> names_in(const std::vector<identity::Extent>& map,
                              const std::vector<oci::Must>& musts, const identity::IdPlan& plan,
                              bool aliases);

/// Claims, and edits user, groups and mounts. `process`: the rest the runtime asks of a supervisor,
/// by the true ids.
base::Checked<SlotIds> put_in_slots(oci::Json& bundle, const oci::Spec& spec,
                                    const config::Config& config, oci::Sets process);

}  // namespace cli
