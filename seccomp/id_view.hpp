// Owns: how the ids of one container, uids or gids, relate to slots: three names of one id.
//   true id   what the container believes in, what a program says and is told
//   carrier   the number by which the container's own user namespace names the slot: what the
//             kernel takes and gives in a call of the container
//   slot      the id in our namespace
// Called by: the handlers. Never: makes a system call.
#pragma once
#include <memory>

#include "base/result.hpp"
#include "identity/live_slots.hpp"
#include "identity/pool.hpp"

namespace seccomp {

using identity::Id;
using identity::kNoId;

class IdView {
 public:
  /// `map`: uid_map or gid_map of the container as *we* read it, so that `outside` are ids of our
  /// namespace.
  IdView(identity::Pool map, std::shared_ptr<identity::LiveSlots> slots);

  /// The number that a task of the container must use for `true_id`; the id gets a slot if it has
  /// none. kNoId: there is none, or the container's map does not have it (EINVAL).
  Id carrier(Id true_id);
  /// The true id of a number that the kernel has told a task of the container. 65534 stays itself.
  Id truth_of_carrier(Id carrier) const;
  /// The true id of a credential as we see it.
  Id truth_of_slot(Id slot) const;
  /// Whether any number can mean another id than itself at the moment. False: there is nothing to
  /// translate, every call may go on as it is.
  bool translates() const;

 private:
  identity::Pool map_;
  std::shared_ptr<identity::LiveSlots> slots_;
};

}  // namespace seccomp
