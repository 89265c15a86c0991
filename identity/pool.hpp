// Owns: which ids a user namespace maps, as read from uid_map or gid_map.
// Called by: daemon (reads /proc/self/uid_map), fusefs and identity/live_slots (what may be shown).
// Never: reads a file or assumes a particular map; it is told the text.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "identity/hash_slot.hpp"

namespace identity {

/// One line of uid_map (user_namespaces(7)): ids [inside, inside+count) are [outside,
/// outside+count) in the parent. outside == kNoId: the reader's namespace cannot name them.
struct Extent {
  Id inside = 0;
  Id outside = 0;
  Id count = 0;
  friend bool operator==(Extent const&, Extent const&) = default;
};

/// Most lines the kernel accepts (UID_GID_MAP_MAX_EXTENTS, include/linux/user_namespace.h).
inline constexpr std::size_t kMaxExtents = 340;

class Pool {
 public:
  /// From the text of /proc/PID/uid_map. Refuses what the kernel could not have written (garbage,
  /// counts of 0, ids past 4294967294, overlap on either side, > 340 lines, no line at all); the
  /// message names the line.
  static base::Checked<Pool> parse(std::string_view uid_map_text);
  /// The same checks for a list, e.g. the shown side of a uidmapping= mount option.
  static base::Checked<Pool> from_extents(std::vector<Extent> extents);
  /// The initial namespace's map: every id is itself.
  static Pool full();

  /// Whether a process or an inode of the namespace can carry `id`. kNoId: never.
  bool contains(Id id) const;
  /// Maps every id 0..4294967294, however many lines that takes.
  bool is_full() const { return size_ == kNoId; }
  /// How many ids the pool has: 1..4294967295.
  std::uint64_t size() const { return size_; }
  /// Sorted by `inside`.
  std::span<Extent const> extents() const { return extents_; }
  /// The ids that the hash rule may use here. {1,1999,2000} wherever 0..2000 are mapped; else
  /// nobody is 65534 if mapped, else the last id of the run 1, 2, 3, ...; {1,0,0} when 1 is not
  /// mapped and nobody is neither: then nothing but 0 can be named on disk.
  HashRange hash_range() const;

 private:
  explicit Pool(std::vector<Extent> sorted);

  std::vector<Extent> extents_;
  std::uint64_t size_ = 0;
};

}  // namespace identity
