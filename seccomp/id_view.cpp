#include "seccomp/id_view.hpp"

#include <algorithm>
#include <utility>

namespace seccomp {
namespace {

// Whether the number is the slot's own or its alias, and so says nothing of who owns it.
bool names(Id carrier, Id slot) {
  return carrier == slot || (slot < kNoId - kAliasBase && carrier == kAliasBase + slot);
}

}  // namespace

IdView::IdView(identity::Pool map, std::shared_ptr<identity::LiveSlots> slots)
    : map_(std::move(map)), slots_(std::move(slots)) {
  for (const identity::Extent& e : map_.extents())
    if (e.outside != kNoId) by_slot_.push_back(e);
  std::sort(by_slot_.begin(), by_slot_.end(),
            [](const auto& a, const auto& b) { return a.outside < b.outside; });
}

Id IdView::inside(Id slot) const {
  auto after = std::upper_bound(by_slot_.begin(), by_slot_.end(), slot,
                                [](Id id, const auto& e) { return id < e.outside; });
  if (after == by_slot_.begin()) return kNoId;
  const identity::Extent& e = *std::prev(after);
  return slot - e.outside < e.count ? e.inside + (slot - e.outside) : kNoId;
}

Id IdView::outside(Id carrier) const {
  auto extents = map_.extents();
  auto after = std::upper_bound(extents.begin(), extents.end(), carrier,
                                [](Id id, const auto& e) { return id < e.inside; });
  if (after == extents.begin()) return kNoId;
  const identity::Extent& e = *std::prev(after);
  bool known = carrier - e.inside < e.count && e.outside != kNoId;
  return known ? e.outside + (carrier - e.inside) : kNoId;
}

// Any other number was planned for the id, whoever owns the
// slot by our table: the kernel tells it everywhere, so there is nothing else that could be said.
Id IdView::meaning(Id slot, Id carrier) const {
  if (!names(carrier, slot)) return carrier;
  Id known = slots_->meaning(slot);
  if (known != slot || slots_->owner_of(slot) != kNoId || !slots_->can_be_given(slot)) return known;
  slots_->refresh();  // perhaps another process has given it away: a mount without daemon
  return slots_->meaning(slot);
}

// By the map alone: planned, not to be given to others, or given to it; or an alias.
bool IdView::carries_itself(Id true_id) const {
  Id slot = outside(true_id);
  if (slot == kNoId) return false;
  if (true_id != slot && names(true_id, slot)) return true;
  bool settled = slots_->owner_of(slot) != kNoId || !slots_->can_be_given(slot);
  return settled && meaning(slot, true_id) == true_id;
}

// kNoId also where the only number of the slot means somebody else.
Id IdView::number_of(Id slot, Id true_id) const {
  Id number = slot == kNoId ? kNoId : inside(slot);
  return number != kNoId && meaning(slot, number) == true_id ? number : kNoId;
}

// Else a container's root could ask for one id after another, until no container can be planned.
bool IdView::may_claim(Id true_id) const {
  constexpr std::size_t kKept = 8;
  return slots_->free_slots() > slots_->slot_count() / kKept ||
         !slots_->would_claim(true_id).is_new;
}

Id IdView::carrier(Id true_id) {
  if (true_id == kNoId) return kNoId;
  Id number = true_id;
  if (!carries_itself(true_id)) {
    if (!may_claim(true_id)) return kNoId;
    number = number_of(slots_->claim(true_id), true_id);
  }
  constexpr std::size_t kMostAsked = 4096;
  if (number != kNoId && asked_.size() < kMostAsked) asked_.insert(truth_of_carrier(number));
  return number;
}

bool IdView::has(Id true_id) const {
  if (true_id == kNoId) return false;
  if (carries_itself(true_id)) return true;
  identity::LiveSlots::Choice choice = slots_->would_claim(true_id);
  return !choice.is_new && number_of(choice.slot, true_id) != kNoId;
}

Id IdView::shown(Id slot) const {
  Id number = inside(slot);
  return number == kNoId ? identity::kNobody : number;
}

Id IdView::truth_of_carrier(Id carrier) const {
  Id slot = outside(carrier);
  return slot == kNoId || carrier == identity::kNobody ? carrier : meaning(slot, carrier);
}

Id IdView::truth_of_slot(Id slot) const {
  Id number = inside(slot);
  return number == kNoId ? slots_->meaning(slot) : meaning(slot, number);
}

bool IdView::translates() const {
  if (seen_changes_ != slots_->changes()) {
    translates_ = look();
    seen_changes_ = slots_->changes();
  }
  return translates_;
}

bool IdView::look() const {
  auto differs = [&](Id slot) {
    Id number = inside(slot);
    return number != kNoId && names(number, slot) && slots_->meaning(slot) != number;
  };
  if (differs(slots_->nobody_id())) return true;
  for (std::size_t i = 0; i < slots_->slot_count(); ++i) {
    Id slot = slots_->first_slot() + static_cast<Id>(i);
    if (slots_->owner_of(slot) != kNoId && differs(slot)) return true;
  }
  return false;
}

}  // namespace seccomp
