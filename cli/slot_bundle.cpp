#include "cli/slot_bundle.hpp"

namespace cli {
namespace {

base::Checked<Slots> slots_of(const std::vector<oci::Must>& musts, const char* kind,
                              const identity::IdPlan& plan) {
  Slots slots;
  for (const oci::Must& must : musts) {
    if (plan.identity) break;
    auto slot = plan.slot_of(must.id);
    if (!slot)
      return base::refuse(must.key + ": " + kind + " " + std::to_string(must.id) +
                          " has no slot in the pool; usernetes-identity map shows who has them");
    slots.emplace_back(must.id, *slot);
  }
  return slots;
}

}  // namespace

std::optional<Slots> names_in(const std::vector<identity::Extent>& map,
                              const std::vector<oci::Must>& musts, const identity::IdPlan& plan,
                              bool aliases) {
  Slots names;
  for (const oci::Must& must : musts) {
    const std::optional<identity::Id> slot = plan.slot_of(must.id);
    bool found = false;
    for (const identity::Extent& extent : map) {
      const bool itself = must.id - extent.inside < extent.count;
      const bool elsewhere = itself && slot && *slot != extent.outside + (must.id - extent.inside);
      if (elsewhere) return std::nullopt;
      found = found || itself;
    }
    if (found) continue;
    for (const identity::Extent& extent : map) {
      if (!aliases || !slot || extent.inside < identity::kAliasBase) continue;
      if (*slot - extent.outside >= extent.count) continue;
      names.emplace_back(must.id, extent.inside + (*slot - extent.outside));
      found = true;
      break;
    }
    if (!found) return std::nullopt;
  }
  return names;
}

base::Checked<SlotIds> claim_slots(const config::Config& config, const std::vector<oci::Must>& uids,
                                   const std::vector<oci::Must>& gids) {
  WantedIds wanted;
  for (const oci::Must& must : uids) wanted.uids.push_back(must.id);
  for (const oci::Must& must : gids) wanted.gids.push_back(must.id);
  TRY(planned, plan_namespace(config, wanted));
  SlotIds slots;
  TRY(of_uids, slots_of(uids, "uid", planned.uids));
  TRY(of_gids, slots_of(gids, "gid", planned.gids));
  slots.uids = std::move(of_uids);
  slots.gids = std::move(of_gids);
  slots.doubt = planned.doubt;
  return slots;
}

base::Checked<SlotIds> put_in_slots(oci::Json& bundle, const oci::Spec& spec,
                                    const config::Config& config, oci::Sets process) {
  TRY(slots, claim_slots(config, spec.uids, spec.gids));
  oci::put_slots(bundle, slots.uids, slots.gids, process);
  return slots;
}

}  // namespace cli
