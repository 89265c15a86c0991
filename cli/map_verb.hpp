// Owns: the verb `map`: what becomes of an id in the pool, and who has a slot. Called by:
// cli/verbs, tests/cli. Never: assigns a slot; it says what would be.
#pragma once
#include <string>
#include <vector>

#include "cli/verbs.hpp"
#include "identity/live_slots.hpp"
#include "identity/pool.hpp"

namespace cli {

/// What is known of one id.
struct MappedId {
  enum class State : std::uint8_t {
    itself,    // the id of the pool that it is, or nobody: needs no slot
    assigned,  // has a slot of its own
    planned,   // would get this one if it were planned now
    none,      // can not get one
  };
  identity::Id true_id = 0;
  identity::Id hash_slot = 0;
  identity::Id slot = identity::kNoId;  // kNoId: none
  identity::Id shown = 0;               // owner of its files where nothing is planned
  State state = State::none;
  bool first_choice = true;
  identity::Id taken_by = identity::kNoId;  // who has what would be its first choice
  std::vector<identity::Id> same_hash;      // assigned ids with the same hash slot
};

MappedId look_up(const identity::Pool& pool, const identity::LiveSlots& slots, identity::Rule rule,
                 identity::Id true_id);
/// Row of the table of verbs.
Action prepare_map(CLI::App& options);

}  // namespace cli
