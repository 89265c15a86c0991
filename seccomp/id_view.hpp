// Owns: how the ids of one container, uids or gids, relate to slots: three names of one id.
//   true id   what the container believes in, what a program says and is told
//   carrier   the number by which the container's own user namespace names the slot: what the
//             kernel takes and gives in a call of the container
//   slot      the id in our namespace
// Called by: the handlers. Never: makes a system call.
#pragma once
#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "base/result.hpp"
#include "identity/id_plan.hpp"
#include "identity/live_slots.hpp"
#include "identity/pool.hpp"

namespace seccomp {

using identity::Id;
using identity::kAliasBase;
using identity::kNoId;

class IdView {
 public:
  /// `map`: uid_map or gid_map of the container as *we* read it, so that `outside` are ids of our
  /// namespace (where the namespace is our own: every id is itself).
  IdView(identity::Pool map, std::shared_ptr<identity::LiveSlots> slots);

  /// The number that a task of the container must use for `true_id`; the id gets a slot if it has
  /// none. kNoId: there is none, or the container's map does not have it (EINVAL). The last eighth
  /// of the slots is for planned ids: running containers get none of it. An alias of the map
  /// carries itself: runtimes have it in process.user.
  Id carrier(Id true_id);
  /// Whether carrier() would answer a number without giving the id a slot.
  bool has(Id true_id) const;
  /// The true id of a number that the kernel has told a task of the container. What the map lacks
  /// stays itself, and so does 65534, which is also what the kernel says of ids it can not name.
  Id truth_of_carrier(Id carrier) const;
  /// The true id of a credential as we see it.
  Id truth_of_slot(Id slot) const;
  /// What the kernel tells a task of the container for the slot: 65534 for what the map lacks.
  Id shown(Id slot) const;
  /// Whether any number can mean another id than itself at the moment. False: there is nothing to
  /// translate, every call may go on as it is. O(1) while no slot is given.
  bool translates() const;
  /// The true ids that tasks of the container have asked to be; the first 4,096 of them.
  const std::set<Id>& asked() const { return asked_; }

 private:
  Id inside(Id slot) const;
  Id outside(Id carrier) const;
  Id meaning(Id slot, Id carrier) const;
  bool carries_itself(Id true_id) const;
  bool may_claim(Id true_id) const;
  Id number_of(Id slot, Id true_id) const;
  bool look() const;

  identity::Pool map_;
  std::vector<identity::Extent> by_slot_;  // the map once more, sorted by `outside`
  std::shared_ptr<identity::LiveSlots> slots_;
  std::set<Id> asked_;
  mutable std::uint64_t seen_changes_ = UINT64_MAX;
  mutable bool translates_ = false;
};

}  // namespace seccomp
