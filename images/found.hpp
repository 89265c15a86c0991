// Owns: the ids that an image, a pod or a user asks for, how important each is and where it was
// found. Called by: every reader of images/, cli (plan, run), the runtime wrapper. Never: grows
// beyond its bounds, whatever an image claims; what did not fit is counted.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "identity/hash_slot.hpp"

namespace images {

using identity::Id;

/// Why an id is wanted; the most important first. What has no room in a map is left out from the
/// end of this list (docs/decisions/0008).
enum class Weight : std::uint8_t {
  process,   // the container's own user and groups
  asked,     // --id, runtime.ids, the annotation of a pod
  account,   // passwd and group of the image
  owner,     // owners of its files
  devpts,    // gid 5, where a devpts mount wants it
  ordinary,  // 1000 to 1015, which useradd gives first
  subid,     // ranges for containers within the container
};
/// One word: "process", "asked", ...
std::string_view word(Weight weight);

/// The ids of one kind (uids or gids).
class Found {
 public:
  struct Fact {
    Weight weight = Weight::subid;
    std::string origin;       // where it was found first with this weight: "/etc/passwd:23 mail"
    std::uint32_t count = 0;  // how many times it was found
    friend bool operator==(const Fact&, const Fact&) = default;
  };
  /// Different ids that are remembered; beyond it only what is `process` or `asked`.
  static constexpr std::size_t kMost = 65536;

  /// kNoId is counted as dropped. An origin is cut to 200 bytes.
  void add(Id id, Weight weight, std::string_view origin, std::uint32_t count = 1);
  /// True: the id is known with this weight or a better one, and counted once more. Saves those who
  /// see an id a million times the making of its origin.
  bool add_again(Id id, Weight weight);
  void add_all(const Found& other);
  /// The most important first; within a weight ascending.
  std::vector<Id> by_importance() const;
  const std::map<Id, Fact>& facts() const { return facts_; }
  /// How many findings had no room.
  std::uint64_t dropped() const { return dropped_; }
  void add_dropped(std::uint64_t count) { dropped_ += count; }
  friend bool operator==(const Found&, const Found&) = default;

 private:
  std::map<Id, Fact> facts_;
  std::uint64_t dropped_ = 0;
};

struct FoundIds {
  static constexpr std::size_t kMostNotes = 50;

  Found uids, gids;
  std::vector<std::string> notes;  // what was odd, skipped or cut; for people

  /// Beyond kMostNotes only one more, which says so.
  void note(std::string text);
  void add_all(const FoundIds& other);
  friend bool operator==(const FoundIds&, const FoundIds&) = default;
};

/// 1000 to 1015 as uids and gids: the ids that useradd gives first.
void add_ordinary(FoundIds& found);

}  // namespace images
