#include "identity/live_slots.hpp"

#include <algorithm>
#include <utility>

namespace identity {
namespace {

constexpr std::size_t kStrangersKept = 1024;
constexpr std::uint64_t kMostSlots = 65536;

}  // namespace

LiveSlots::LiveSlots(Pool pool, HashRange range, Rule rule, Window window, Collisions collisions)
    : pool_(std::move(pool)), range_(range), rule_(rule), collisions_(collisions) {
  Extent const& last = pool_.extents().back();
  if (pool_.contains(kNobody)) {
    nobody_ = kNobody;
  } else if (range_.nobody != 0 && pool_.contains(range_.nobody)) {
    nobody_ = range_.nobody;
  } else {
    // Never root while there is another id: a stranger's set-uid file would be set-uid root.
    nobody_ = last.inside + (last.count - 1);
  }
  nobody_reserved_ = nobody_ != 0 && pool_.size() > 1;
  if (pool_.is_full()) return;  // every id is itself: no table is ever needed

  std::uint64_t first = window.first;
  std::uint64_t count = window.last < window.first ? 0 : std::uint64_t{window.last} - first + 1;
  if (collisions_ == Collisions::share) {
    first = range_.min;
    count = range_.size;
  }
  claim_first_ = static_cast<Id>(first);
  owner_.assign(std::min(count, kMostSlots), kNoId);
  first_choice_.assign(owner_.size(), true);
  native_.assign(owner_.size(), false);
  for (std::uint64_t i = 0; i < owner_.size(); ++i) {
    std::uint64_t const slot = first + i;
    // Root and nobody are never anybody else's, whatever window was configured.
    bool const reserved = slot == 0 || slot == nobody_ || slot >= kNoId;
    if (!reserved && pool_.contains(static_cast<Id>(slot))) {
      free_.insert(free_.end(), static_cast<Id>(slot));
    }
  }
  has_window_ = !free_.empty();
  low_.assign(kFlat, kNoId);
}

Id LiveSlots::present(Id true_id) {
  if (true_id == kNoId) return nobody_;
  if (pool_.is_full()) return true_id;
  if (Id const known = remembered(true_id); known != kNoId) return known;
  Id const answer = with_others(true_id, [&] {
    return collisions_ == Collisions::share ? choose_shared(true_id) : choose(true_id);
  });
  remember(true_id, answer);
  return answer;
}

// Ids whose answer is the same in every process, without a table.
bool LiveSlots::needs_no_slot(Id true_id) const {
  if (true_id == kNobody && nobody_reserved_) return true;
  if (!prefers_itself(true_id)) return false;
  return is_native(true_id) || !claimable(true_id) || true_id == 0 || true_id == nobody_;
}

bool LiveSlots::is_native(Id true_id) const {
  return collisions_ == Collisions::native && prefers_itself(true_id);
}

// Decides while no other process does, knowing what they have decided.
template <class Decide>
Id LiveSlots::with_others(Id true_id, Decide&& decide) {
  if (!shared_ || free_.empty() || needs_no_slot(true_id)) return decide();
  shared_->begin(*this);
  Id answer = remembered(true_id);
  bool const known = answer != kNoId;
  if (!known) answer = decide();
  bool const assigned = !known && claimable(answer) && owner_[answer - claim_first_] == true_id;
  shared_->end(assigned ? true_id : kNoId, answer);
  return answer;
}

Id LiveSlots::truth(Id presented) {
  if (pool_.is_full()) return presented;
  if (presented == nobody_ && nobody_reserved_) return kNobody;
  if (!claimable(presented)) return presented;
  if (Id const owner = owner_[presented - claim_first_]; owner != kNoId) return owner;
  if (!is_free(presented)) return presented;
  if (!shared_) return assign(presented, presented, true);
  shared_->begin(*this);
  bool const still_free = is_free(presented);  // perhaps another process has given it away
  if (still_free) assign(presented, presented, true);
  shared_->end(still_free ? presented : kNoId, presented);
  Id const owner = owner_[presented - claim_first_];
  return owner == kNoId ? presented : owner;
}

Id LiveSlots::meaning(Id slot) const {
  if (slot == nobody_ && nobody_reserved_ && !pool_.is_full()) return kNobody;
  Id const owner = owner_of(slot);
  return owner == kNoId ? slot : owner;
}

std::vector<LiveSlots::Assignment> LiveSlots::assignments() const {
  std::vector<Assignment> all;
  for (std::size_t i = 0; i < owner_.size(); ++i) {
    if (owner_[i] == kNoId) continue;
    all.push_back({owner_[i], claim_first_ + static_cast<Id>(i), first_choice_[i]});
  }
  std::sort(all.begin(), all.end(),
            [](Assignment const& a, Assignment const& b) { return a.true_id < b.true_id; });
  return all;
}

bool LiveSlots::restore(Id true_id, Id slot) {
  if (true_id == kNoId || true_id == 0 || true_id == kNobody || pool_.is_full()) return false;
  if (holds(true_id, slot)) return true;
  bool const wants_own = pool_.contains(true_id) && !claimable(true_id) && true_id != nobody_;
  if (wants_own || !is_free(slot) || holds(true_id, remembered(true_id))) return false;
  Id const preferred = pool_.contains(true_id) ? true_id : hash_slot(true_id, range_, rule_);
  if (collisions_ == Collisions::share && slot != preferred) return false;
  note_move(true_id, slot);
  take(true_id, slot, slot == preferred);
  return true;
}

LiveSlots::Choice LiveSlots::would_claim(Id true_id) const {
  if (true_id == kNoId) return {};
  if (pool_.is_full()) return {.slot = true_id};
  if (true_id == kNobody && nobody_reserved_) return {.slot = nobody_};
  if (Id const known = remembered(true_id); holds(true_id, known))
    return {.slot = known, .first_choice = bool{first_choice_[known - claim_first_]}};
  bool const is_unique = !claimable(true_id) || true_id == 0 || true_id == nobody_;
  if (prefers_itself(true_id) && is_unique) return {.slot = true_id};
  // restore() would not believe that root or nobody were given a slot.
  if (true_id == 0 || true_id == kNobody) return {};
  return new_slot(true_id);
}

// For an id that has none of its own yet.
LiveSlots::Choice LiveSlots::new_slot(Id true_id) const {
  bool const own = pool_.contains(true_id), share = collisions_ == Collisions::share;
  if (prefers_itself(true_id) && is_free(true_id)) return {.slot = true_id, .is_new = true};
  if (free_.empty()) return {};
  Id const hash = hash_slot(true_id, range_, rule_);
  if (is_free(hash) && !(own && share)) return {.slot = hash, .first_choice = !own, .is_new = true};
  if (share) return {};  // the rule knows one slot for each id
  return {.slot = second_choice(hash), .first_choice = false, .is_new = true};
}

Id LiveSlots::claim(Id true_id) {
  Choice choice = would_claim(true_id);
  if (!choice.is_new) return choice.slot;
  if (shared_) {
    shared_->begin(*this);
    choice = would_claim(true_id);
  }
  if (choice.is_new) {
    note_move(true_id, choice.slot);
    assign(true_id, choice.slot, choice.first_choice);
  }
  if (shared_) shared_->end(choice.is_new ? true_id : kNoId, choice.slot);
  return choice.slot;
}

LiveSlots LiveSlots::trial() const {
  LiveSlots copy = *this;
  copy.shared_ = nullptr;
  copy.hook_ = nullptr;
  return copy;
}

void LiveSlots::refresh() {
  if (!shared_) return;
  shared_->begin(*this);
  shared_->end(kNoId, kNoId);
}

std::vector<Id> LiveSlots::take_moved() {
  return std::exchange(moved_, {});
}

bool LiveSlots::holds(Id true_id, Id slot) const {
  return slot != kNoId && claimable(slot) && owner_[slot - claim_first_] == true_id;
}

// Natives count even if we have not shown them: a process before us may have.
void LiveSlots::note_move(Id true_id, Id slot) {
  Id const shown = remembered(true_id);
  bool const was_shown = shown != kNoId || is_native(true_id) || stranger_count_ > 0;
  if (was_shown && shown != slot && true_id != slot) moved_.push_back(true_id);
}

// Ids that no rule moves: mapped, and of no use to anybody else.
bool LiveSlots::prefers_itself(Id true_id) const {
  if (!pool_.contains(true_id)) return false;
  bool const is_reserved_nobody = true_id == nobody_ && nobody_ != kNobody && nobody_reserved_;
  return !is_reserved_nobody;
}

// kNoId: not asked before, or a high id which needs no memory (itself, or a stranger).
Id LiveSlots::remembered(Id true_id) const {
  if (true_id < kFlat) return low_[true_id];
  auto const found = high_.find(true_id);
  return found == high_.end() ? kNoId : found->second;
}

// High ids are remembered by take() only: their number is bounded by the window, that of the ids
// which a container can ask for is not.
void LiveSlots::remember(Id true_id, Id answer) {
  if (true_id < kFlat) low_[true_id] = answer;
}

Id LiveSlots::choose(Id true_id) {
  if (true_id == kNobody && nobody_reserved_) return nobody_;
  if (is_native(true_id) && claimable(true_id)) native_[true_id - claim_first_] = true;
  if (needs_no_slot(true_id)) return true_id;
  if (prefers_itself(true_id)) {
    if (is_free(true_id)) return assign(true_id, true_id, true);
  }
  if (free_.empty()) return stranger(true_id);
  Id const hash = hash_slot(true_id, range_, rule_);
  if (is_free(hash)) return assign(true_id, hash, !pool_.contains(true_id));
  return assign(true_id, second_choice(hash), false);
}

// The next free slot that nobody is seen to use. A hash outside the window is folded into it: the
// window's first ids are too often somebody's own.
Id LiveSlots::second_choice(Id hash) const {
  Id const start = claimable(hash) ? hash : claim_first_ + hash % static_cast<Id>(owner_.size());
  auto const begin = free_.lower_bound(start);
  auto const unused = [&](Id slot) { return !native_[slot - claim_first_]; };
  auto found = std::find_if(begin, free_.end(), unused);
  if (found == free_.end()) found = std::find_if(free_.begin(), begin, unused);
  if (found != free_.end() && unused(*found)) return *found;
  return begin == free_.end() ? *free_.begin() : *begin;
}

// The seed's rule knows no second choice, so the first comer is what the slot is taken to mean.
Id LiveSlots::choose_shared(Id true_id) {
  if (true_id == kNobody && nobody_reserved_) return nobody_;
  bool const own = pool_.contains(true_id);
  Id const slot = own ? true_id : hash_slot(true_id, range_, rule_);
  if (!pool_.contains(slot)) return stranger(true_id);
  // Root is nobody's hash slot: a foreign id that hashes to 0 has no slot (a pool without spares).
  if (slot == 0 && !own) return stranger(true_id);
  if (is_free(slot)) return assign(true_id, slot, true);
  return slot;
}

Id LiveSlots::assign(Id true_id, Id slot, bool first_choice) {
  take(true_id, slot, first_choice);
  if (hook_) hook_({true_id, slot, first_choice});
  return slot;
}

void LiveSlots::take(Id true_id, Id slot, bool first_choice) {
  ++changes_;
  owner_[slot - claim_first_] = true_id;
  first_choice_[slot - claim_first_] = first_choice;
  free_.erase(slot);
  if (true_id < kFlat) {
    low_[true_id] = slot;
  } else {
    high_.emplace(true_id, slot);
  }
}

Id LiveSlots::stranger(Id true_id) {
  if (strangers_.size() < kStrangersKept) {
    bool const seen = true_id >= kFlat &&
                      std::find(strangers_.begin(), strangers_.end(), true_id) != strangers_.end();
    if (seen) return nobody_;
    strangers_.push_back(true_id);
  }
  ++stranger_count_;
  return nobody_;
}

}  // namespace identity
