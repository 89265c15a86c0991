// Owns: the ids of a bundle or a process that has no user namespace of its own: slots of ours.
// Called by: the verbs runtime and hook. Never: puts in a slot that is not claimed.
#pragma once
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "cli/planning.hpp"
#include "runtime/json_file.hpp"
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

/// Claims, and edits user, groups and mounts. `filtered`: the process changes its ids when a
/// supervisor answers already, and has to ask for the true ones.
base::Checked<SlotIds> put_in_slots(oci::Json& bundle, const oci::Spec& spec,
                                    const config::Config& config, bool filtered);

}  // namespace cli
