// Owns: the table true id <-> live slot of one namespace, for uids or for gids.
// Called by: fusefs (owner shown and received), seccomp (ids of tasks), daemon (journal, status).
// Never: gives two true ids one slot (unless asked to share), answers an id that the pool does not
// map, or grows beyond the window however many ids a container invents.
#pragma once
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "identity/hash_slot.hpp"
#include "identity/pool.hpp"

namespace identity {

/// The pool ids, both ends included, that foreign ids may be given. Cut to 65,536 ids.
struct Window {
  Id first = 1000;
  Id last = 1998;
};

enum class Collisions : std::uint8_t {
  native,    // an id of the pool is always itself: for processes that run with their own ids
  separate,  // a taken slot is never given twice, an id of the pool may have to move: for processes
             // whose ids are translated as well
  share,     // the seed's strict rule: a foreign id is always shown as its hash slot
};

class LiveSlots;

/// Whoever shares the assignments with other processes: asked around each new one, so that all give
/// the same id the same slot. identity/ itself knows no files.
class SharedSlots {
 public:
  virtual ~SharedSlots() = default;
  /// Before a slot is chosen: restores what others have assigned meanwhile, and keeps them out.
  virtual void begin(LiveSlots& slots) = 0;
  /// After it: true_id == kNoId if nothing was assigned.
  virtual void end(Id true_id, Id slot) = 0;
};

class LiveSlots {
 public:
  struct Assignment {
    Id true_id = kNoId;
    Id slot = kNoId;
    bool first_choice = true;  // false: the preferred slot was taken or outside the window
    friend bool operator==(Assignment const&, Assignment const&) = default;
  };

  LiveSlots(Pool pool, HashRange range, Rule rule, Window window, Collisions collisions);

  /// The id that an inode or a process carries for `true_id`; assigned on first use, then for ever.
  /// Always an id of the pool. No slot left: nobody_id(), and the id is counted as a stranger.
  /// O(1); O(log window) at the first use of an id.
  Id present(Id true_id);
  /// What a process that carries `presented` really is. A pool id nobody was given yet becomes
  /// itself; the nobody id is 65534; an id outside the pool is returned unchanged.
  Id truth(Id presented);
  /// The exclusive slot of an id that a process will run with (map mode): present()'s, but an id of
  /// the pool gets one as well, and moves away from its number if somebody else has that. Assigned
  /// and told to others like any other. kNoId: none is left, or `true_id` can not have one.
  Id claim(Id true_id);
  /// What claim() would answer at the moment; changes and reads nothing.
  struct Choice {
    Id slot = kNoId;
    bool first_choice = true;
    bool is_new = false;  // not assigned yet
  };
  Choice would_claim(Id true_id) const;
  /// Who has this slot of the window; kNoId: nobody, or it is not of the window.
  Id owner_of(Id slot) const { return claimable(slot) ? owner_[slot - claim_first_] : kNoId; }
  /// truth() as far as it is known by now: assigns nothing.
  Id meaning(Id slot) const;
  /// Grows with every assignment.
  std::uint64_t changes() const { return changes_; }
  /// Whether the slot can be somebody else's, now or later.
  bool can_be_given(Id slot) const { return claimable(slot); }
  /// Whether there is any slot to give, be it given already.
  bool has_window() const { return has_window_; }
  Collisions collisions() const { return collisions_; }
  /// The slots that can be given: [first, first + count).
  Id first_slot() const { return claim_first_; }
  std::size_t slot_count() const { return owner_.size(); }
  /// A copy that tells nobody: to see what assignments would lead to.
  LiveSlots trial() const;

  /// Takes over what other processes have assigned meanwhile.
  void refresh();
  /// The ids whose slot is another than was shown since the last call: natives that moved away,
  /// strangers that got one. No more than the window has slots.
  std::vector<Id> take_moved();
  bool have_moved() const { return !moved_.empty(); }

  /// What strangers are shown as: 65534 where mapped, else the range's nobody, else the pool's last
  /// id. In a one-id pool that is its only id, which then means itself.
  Id nobody_id() const { return nobody_; }

  /// All assignments of the window, sorted by true id. Pool ids outside the window are always
  /// themselves and 65534 is always nobody_id(): neither needs or has an entry.
  std::vector<Assignment> assignments() const;
  /// Slots of the window that nobody has yet.
  std::size_t free_slots() const { return free_.size(); }
  /// Every id is itself: there are no slots.
  bool is_full_map() const { return pool_.is_full(); }
  /// The first 1,024 different ids that found no slot.
  std::span<Id const> strangers() const { return strangers_; }
  /// Exact while strangers() has room, and for ids below 65,536; then each showing of a high one
  /// counts, because remembering them would let a container fill our memory.
  std::uint64_t stranger_count() const { return stranger_count_; }

  /// `hook` is called once for each new assignment, before present() or truth() returns it.
  void on_assign(std::function<void(Assignment const&)> hook) { hook_ = std::move(hook); }
  /// `shared` must outlive this object's use.
  void share_through(SharedSlots* shared) { shared_ = shared; }
  /// Repeats a journalled assignment without calling the hook; one that contradicts what was shown
  /// counts as a move. False, and no change: the slot is not free or not of the window, or the id
  /// was assigned another one (equal to it: true).
  bool restore(Id true_id, Id slot);

 private:
  static constexpr Id kFlat = 65536;

  bool claimable(Id slot) const { return slot - claim_first_ < owner_.size(); }
  bool is_free(Id slot) const { return claimable(slot) && free_.contains(slot); }
  bool prefers_itself(Id true_id) const;
  Id remembered(Id true_id) const;
  void remember(Id true_id, Id answer);
  Id choose(Id true_id);
  template <class Decide>
  Id with_others(Id true_id, Decide&& decide);
  bool needs_no_slot(Id true_id) const;
  bool is_native(Id true_id) const;
  Id second_choice(Id hash) const;
  Id choose_shared(Id true_id);
  bool holds(Id true_id, Id slot) const;
  Choice new_slot(Id true_id) const;
  void note_move(Id true_id, Id slot);
  Id assign(Id true_id, Id slot, bool first_choice);
  void take(Id true_id, Id slot, bool first_choice);
  Id stranger(Id true_id);

  Pool pool_;
  HashRange range_;
  Rule rule_;
  Collisions collisions_;
  Id nobody_ = 0;
  bool has_window_ = false;
  bool nobody_reserved_ = false;     // nobody_ stands for 65534 alone; not so in a one-id pool
  Id claim_first_ = 0;               // slots [claim_first_, +owner_.size()) can be given
  std::vector<Id> owner_;            // per such slot its true id, kNoId: none
  std::vector<bool> first_choice_;   // per such slot
  std::set<Id> free_;                // slots still to give
  std::vector<bool> native_;         // per slot: an id of the pool was shown as itself
  std::vector<Id> low_;              // answer per true id < 65536, kNoId: not asked yet
  std::unordered_map<Id, Id> high_;  // slot per higher true id that was given one
  std::vector<Id> strangers_;
  std::uint64_t stranger_count_ = 0;
  std::vector<Id> moved_;
  std::uint64_t changes_ = 0;
  std::function<void(Assignment const&)> hook_;
  SharedSlots* shared_ = nullptr;
};

}  // namespace identity
