// Owns: the ids of the namespace we serve, and what they are given to. Called by: Server, for each
// mount. Never: is one mount's alone: all mounts of a namespace show an id in the same slot.
#pragma once
#include <memory>

#include "base/result.hpp"
#include "config/mount_options.hpp"
#include "daemon/slot_journal.hpp"
#include "fusefs/id_mapper.hpp"
#include "identity/live_slots.hpp"
#include "identity/pool.hpp"

namespace serving {

struct Identities {
  identity::Pool uids, gids;
  std::shared_ptr<identity::LiveSlots> uid_slots, gid_slots;
  bool agreed = true;  // false: no private runtime directory, so the slots are ours alone
  /// From /proc/self/uid_map and gid_map.
  static base::Checked<Identities> of_this_process(const config::Config& config,
                                                   SlotUse use = SlotUse::serve);
  /// How one mount shows ids. Its mapping options confine the slots to what they can show.
  base::Checked<fusefs::IdMapper> uid_mapper(const config::MountOptions& options) const;
  base::Checked<fusefs::IdMapper> gid_mapper(const config::MountOptions& options) const;
};

}  // namespace serving
