// Owns: the id map of a namespace nested in ours: which ids it holds, and which had to stay out.
// Called by: cli (plan, run, runtime, map). Never: writes a map; claims slots of LiveSlots only for
// ids that the map then has.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "identity/live_slots.hpp"
#include "identity/pool.hpp"

namespace identity {

/// Most bytes of a map's text: the kernel takes less than a page, in one write (map_write,
/// kernel/user_namespace.c).
inline constexpr std::size_t kMaxMapBytes = 4095;

/// The number that stands for a slot whose id nobody has planned: kAliasBase + slot. It is in the
/// map so that a supervisor (seccomp/) can let a process have the slot; as a true id nobody uses
/// it, so that without a supervisor it is nobody's either. runc takes no id above 2147483647.
inline constexpr Id kAliasBase = 0x7F000000;
enum class Aliases : std::uint8_t { none, all };

/// Why an id is not in the map.
enum class LeftOut : std::uint8_t {
  invalid,    // kNoId
  no_slot,    // no slot that is its own: see LiveSlots::claim
  lines,      // kMaxExtents
  bytes,      // kMaxMapBytes
  no_window,  // the pool has no slots to give
  shared,     // collisions = share: another id has its hash slot
};
/// A part of a sentence, for users: "60000: all slots of the pool are in use".
const char* reason(LeftOut why);

struct IdPlan {
  struct Row {
    Id true_id;
    Id slot;
    bool first_choice;
    friend bool operator==(Row const&, Row const&) = default;
  };
  struct Missing {
    Id true_id;
    LeftOut why;
    friend bool operator==(Missing const&, Missing const&) = default;
  };
  std::vector<Row> rows;          // the ids that were asked for and are mapped, by true id
  std::vector<Extent> extents;    // the map: inside = true id or alias, outside = id of ours
  std::vector<Missing> left_out;  // asked for and not mapped, most important first
  /// Ours maps every id as itself: there is no need for a nested namespace.
  bool identity = false;

  /// The id of ours that `true_id` is, whether or not it was asked for.
  std::optional<Id> slot_of(Id true_id) const;
  bool maps(Id true_id) const { return slot_of(true_id).has_value(); }
};

/// `wanted`: most important first; duplicates count once. 0 and nobody are in every map. What does
/// not fit into the kernel's limits is left out, the least important first. Slots are claimed in an
/// order that depends on the set of ids alone, so that all nodes choose alike. `fill`: the pool's
/// ids outside the window are mapped to themselves as far as the limits allow. `aliases`: and after
/// all that the other slots of the window to their aliases, the longest runs first; they are in
/// `extents` only. An id that was asked for is never an alias.
IdPlan plan_ids(Pool const& pool, LiveSlots& slots, std::span<Id const> wanted, bool fill = true,
                Aliases aliases = Aliases::none);

/// "60000 1633 1\n…", as it is written to uid_map.
std::string map_text(std::span<Extent const> extents);

}  // namespace identity
