#include "cli/slot_bundle.hpp"

#include "runtime/nest.hpp"

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
                                    const config::Config& config, bool filtered) {
  TRY(slots, claim_slots(config, spec.uids, spec.gids));
  oci::put_slots(bundle, slots.uids, slots.gids, !filtered);
  return slots;
}

}  // namespace cli
