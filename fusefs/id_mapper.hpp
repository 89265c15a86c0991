// Owns: how one mount shows ids: mapping options, squashing, live slots. One for uids, one for
// gids. Called by: Overlay. Never: touches a file; the owner store does.
//   truth      the id that the container believes in, what a record holds
//   presented  what the kernel is told (an id of the mount's user namespace)
//   disk       what the file is owned by on the layer (hash slot, an id of the same namespace)
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "identity/hash_slot.hpp"
#include "identity/live_slots.hpp"

namespace fusefs {

using identity::Id;

/// Layer ids [disk, +count) are shown as [shown, +count): one triple of uidmapping=.
struct IdRange {
  Id disk, shown, count;
};

class IdMapper {
 public:
  struct Setup {
    std::shared_ptr<identity::LiveSlots> slots;  // over the pool, or over the mapping's disk side
    identity::HashRange range;
    identity::Rule rule = identity::Rule::wide;
    std::vector<IdRange> mapping;  // empty: slots are shown as they are
    bool foreign_slots = true;  // false: the mapping is no pool, what it does not name is overflow
    std::optional<Id> squash;
    Id overflow = identity::kNobody;  // shown for what the mapping does not name
  };
  explicit IdMapper(Setup setup) : setup_(std::move(setup)) {}

  Id present(Id truth) const {
    if (setup_.squash) return *setup_.squash;
    if (setup_.mapping.empty()) return setup_.slots->present(truth);
    if (setup_.foreign_slots) {
      Id slot = setup_.slots->present(truth);
      // The id of last resort of a mapping is somebody's own: a stranger is shown as overflow.
      if (slot == truth || slot != setup_.slots->nobody_id()) truth = slot;
    }
    return map(truth, &IdRange::disk, &IdRange::shown);
  }
  Id truth(Id presented) const {
    if (!setup_.mapping.empty()) presented = map(presented, &IdRange::shown, &IdRange::disk);
    return setup_.slots->truth(presented);
  }
  Id disk(Id truth) const {
    return setup_.range.size == 0 ? 0 : identity::hash_slot(truth, setup_.range, setup_.rule);
  }
  /// What it presents by; shared with other mounts.
  const std::shared_ptr<identity::LiveSlots>& slots() const { return setup_.slots; }
  bool squashed() const { return setup_.squash.has_value(); }
  /// Whether `truth` is shown with a number that is another's by rights: as a slot.
  bool shown_as_other(Id truth) const {
    if (setup_.squash) return false;
    bool mapped = !setup_.mapping.empty();
    return present(truth) != (mapped ? map(truth, &IdRange::disk, &IdRange::shown) : truth);
  }

 private:
  Id map(Id id, Id IdRange::*from, Id IdRange::*to) const {
    for (const IdRange& range : setup_.mapping)
      if (id - range.*from < range.count) return id - range.*from + range.*to;
    return setup_.overflow;
  }
  Setup setup_;
};

}  // namespace fusefs
