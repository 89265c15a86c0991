// Owns: the seed's rule that turns any id into one of few ids, the same on every node.
// Called by: fusefs (owner on disk), identity/live_slots (first choice), cli (map verb).
// Never: looks at what is taken, mapped or running; two true ids may share a hash slot.
#pragma once
#include <cstdint>

namespace identity {

using Id = std::uint32_t;

/// Never a valid id: (uid_t)-1 means "leave unchanged" to chown(2) and setresuid(2).
inline constexpr Id kNoId = 0xFFFFFFFF;
/// The kernel's overflow id (/proc/sys/fs/overflowuid) and every distribution's nobody.
inline constexpr Id kNobody = 65534;

/// Stored with data that depends on it, so a value never changes its meaning.
enum class Rule : std::uint8_t {
  seed = 1,  // every id >= 65534 is nobody
  wide = 2,  // 65534 and 65535 are nobody; ids above are hashed like all others
};

/// Which ids of a pool the rule may answer with.
struct HashRange {
  Id min = 1;
  Id size = 1999;    // 0: the pool has no id to spare and everything stays 0
  Id nobody = 2000;  // what 65534 becomes
  friend bool operator==(HashRange const&, HashRange const&) = default;
};

/// The hash slot of `true_id`: 0 -> 0, nobody -> range.nobody, else min + FNV-1a32(decimal) % size.
/// Total: never fails; kNoId counts as nobody. Source: the seed's README, golden values in the
/// test.
Id hash_slot(Id true_id, HashRange const& range, Rule rule = Rule::wide);

}  // namespace identity
