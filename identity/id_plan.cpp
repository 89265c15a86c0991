#include "identity/id_plan.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <unordered_set>

namespace identity {
namespace {

// First and last of some ids that stand for themselves.
struct Run {
  Id first, last;
};

std::size_t text_size(Extent const& e) {
  auto digits = [](Id id) {
    std::size_t n = 1;
    for (; id >= 10; id /= 10) ++n;
    return n;
  };
  return digits(e.inside) + digits(e.outside) + digits(e.count) + 3;
}

// The map while it grows: always folded, never with an extent across two of the pool's.
class Builder {
 public:
  explicit Builder(Pool const& pool) : pool_(pool) {}

  bool has(Id inside) const {
    auto const at = holding(inside);
    return at != map_.end() && inside - at->first < at->second.count;
  }
  bool fits() const { return map_.size() <= kMaxExtents && bytes_ <= kMaxMapBytes; }
  /// Whatever it costs. What `e` covers already is to be equal to it.
  void add(Extent e) { put(joined(e)); }
  /// Nothing happens, and the limit is named, if the map would be too big.
  std::optional<LeftOut> add_if_it_fits(Extent const& e) {
    Joined const change = joined(e);
    if (map_.size() + 1 - change.replaced > kMaxExtents) return LeftOut::lines;
    if (bytes_ + text_size(change.whole) - change.bytes > kMaxMapBytes) return LeftOut::bytes;
    put(change);
    return std::nullopt;
  }
  /// Two of our ids that one extent may have.
  bool same_parent(Id a, Id b) const { return parent_of(a) == parent_of(b); }
  std::vector<Extent> extents() const {
    std::vector<Extent> all;
    for (auto const& [inside, extent] : map_) all.push_back(extent);
    return all;
  }

 private:
  using Map = std::map<Id, Extent>;
  struct Joined {
    Extent whole;
    std::size_t replaced = 0, bytes = 0;  // extents that it stands for from then on, their text
  };

  Map::const_iterator holding(Id inside) const {
    auto const after = map_.upper_bound(inside);
    return after == map_.begin() ? map_.end() : std::prev(after);
  }
  // The kernel wants each extent inside one of the parent's (map_id_range_down).
  std::size_t parent_of(Id outside) const {
    auto const extents = pool_.extents();
    auto const after = std::upper_bound(extents.begin(), extents.end(), outside,
                                        [](Id value, Extent const& e) { return value < e.inside; });
    return static_cast<std::size_t>(after - extents.begin());
  }
  bool continues(Extent const& low, Extent const& high) const {
    return low.inside + low.count == high.inside && low.outside + low.count == high.outside &&
           parent_of(low.outside) == parent_of(high.outside);
  }
  Joined joined(Extent const& e) const {
    Joined change{.whole = e};
    auto swallow = [&](Extent const& other) {
      ++change.replaced;
      change.bytes += text_size(other);
    };
    auto at = map_.lower_bound(e.inside);
    for (; at != map_.end() && at->first - e.inside < e.count; ++at) swallow(at->second);
    if (at != map_.end() && continues(e, at->second)) {
      swallow(at->second);
      change.whole.count += at->second.count;
    }
    if (auto low = map_.lower_bound(e.inside); low != map_.begin()) {
      Extent const& before = std::prev(low)->second;
      if (continues(before, e)) {
        swallow(before);
        change.whole = {before.inside, before.outside, before.count + change.whole.count};
      }
    }
    return change;
  }
  void put(Joined const& change) {
    Extent const& e = change.whole;
    auto const first = map_.lower_bound(e.inside);
    auto last = first;
    while (last != map_.end() && last->first - e.inside < e.count) ++last;
    map_.erase(first, last);
    map_.emplace(e.inside, e);
    bytes_ += text_size(e) - change.bytes;
  }

  Pool const& pool_;
  Map map_;
  std::size_t bytes_ = 0;
};

class Planner {
 public:
  Planner(Pool const& pool, LiveSlots& slots, std::span<Id const> wanted, bool fill,
          Aliases aliases)
      : pool_(pool), slots_(slots), fill_(fill), aliases_(aliases) {
    for (Id id : {Id{0}, kNobody}) add_wanted(id);
    for (Id id : wanted) {
      if (id == kNoId) {
        if (seen_.insert(id).second) plan_.left_out.push_back({id, LeftOut::invalid});
      } else {
        add_wanted(id);
      }
      asked_.insert(id);
    }
    if (fill_) find_runs();
  }

  IdPlan make() {
    if (!all_fit()) choose();
    claim_and_build();
    return std::move(plan_);
  }

 private:
  void add_wanted(Id id) {
    if (seen_.insert(id).second) wanted_.push_back(id);
  }

  // Ids of the pool first: they should not have to move. Then by number: the order in which an
  // image's files were found differs between nodes.
  std::vector<Id> in_claim_order(std::vector<Id> ids) const {
    std::sort(ids.begin(), ids.end(), [&](Id a, Id b) {
      bool const own_a = pool_.contains(a), own_b = pool_.contains(b);
      return own_a != own_b ? own_a : a < b;
    });
    return ids;
  }

  // Ids that are the same inside and outside, and nobody else's tomorrow.
  void find_runs() {
    std::vector<Run> holes;
    if (Id const nobody = slots_.nobody_id(); nobody != kNobody && pool_.size() > 1)
      holes.push_back({nobody, nobody});
    if (slots_.collisions() == Collisions::share) {
      shared_holes(holes);
    } else if (slots_.slot_count() > 0) {
      Id const first = slots_.first_slot();
      holes.push_back({first, first + static_cast<Id>(slots_.slot_count() - 1)});
    }
    std::sort(holes.begin(), holes.end(), [](Run a, Run b) { return a.first < b.first; });
    for (Extent const& e : pool_.extents()) cut(e, holes);
  }

  // Where ids share slots by the rule, an id is itself unless somebody else was there first.
  void shared_holes(std::vector<Run>& holes) const {
    for (std::size_t i = 0; i < slots_.slot_count(); ++i) {
      Id const slot = slots_.first_slot() + static_cast<Id>(i);
      Id const owner = slots_.owner_of(slot);
      if (owner != kNoId && owner != slot) holes.push_back({slot, slot});
    }
    for (Id id : wanted_) {
      Id const slot = slots_.would_claim(id).slot;
      if (slot != kNoId && slot != id) holes.push_back({slot, slot});
    }
  }

  void cut(Extent const& e, std::vector<Run> const& holes) {
    std::uint64_t next = e.inside;
    std::uint64_t const end = next + e.count;
    for (Run const& hole : holes) {
      if (hole.last < next || hole.first >= end) continue;
      if (hole.first > next) runs_.push_back({static_cast<Id>(next), hole.first - 1});
      next = std::max(next, std::uint64_t{hole.last} + 1);
    }
    if (next < end) runs_.push_back({static_cast<Id>(next), static_cast<Id>(end - 1)});
  }

  // A run that has a wanted id costs no more lines than that id alone.
  Extent extent_for(Id id, Id slot) const {
    if (id != slot) return {id, slot, 1};
    auto const after = std::upper_bound(runs_.begin(), runs_.end(), id,
                                        [](Id value, Run const& r) { return value < r.first; });
    if (after == runs_.begin() || std::prev(after)->last < id) return {id, slot, 1};
    Run const& run = *std::prev(after);
    return {run.first, run.first, run.last - run.first + 1};
  }

  bool all_fit() {
    LiveSlots trial = slots_.trial();
    Builder map(pool_);
    for (Id id : in_claim_order(wanted_)) {
      Id const slot = trial.claim(id);
      if (slot == kNoId) return false;
      if (!map.has(id)) map.add(extent_for(id, slot));
    }
    kept_ = wanted_;
    return map.fits();
  }

  // The most important ones, as far as slots, lines and bytes reach.
  void choose() {
    kept_.clear();
    LiveSlots trial = slots_.trial();
    Builder map(pool_);
    std::vector<IdPlan::Missing> again;
    auto offer = [&](Id id) -> std::optional<LeftOut> {
      Id const slot = trial.would_claim(id).slot;
      if (slot == kNoId) return why_no_slot();
      if (!map.has(id)) {
        if (auto why = map.add_if_it_fits(extent_for(id, slot))) return why;
      }
      trial.claim(id);
      kept_.push_back(id);
      return std::nullopt;
    };
    for (Id id : wanted_)
      if (auto why = offer(id)) again.push_back({id, *why});
    for (IdPlan::Missing const& missing : again)  // others may have joined two lines meanwhile
      if (auto why = offer(missing.true_id)) leave_out(missing.true_id, *why);
  }

  LeftOut why_no_slot() const {
    if (!slots_.has_window()) return LeftOut::no_window;
    return slots_.collisions() == Collisions::share ? LeftOut::shared : LeftOut::no_slot;
  }

  void leave_out(Id id, LeftOut why) {
    if (asked_.contains(id)) plan_.left_out.push_back({id, why});
  }

  void claim_and_build() {
    std::map<Id, LiveSlots::Choice> got;
    for (Id id : in_claim_order(kept_)) {
      slots_.claim(id);
      got[id] = slots_.would_claim(id);
    }
    Builder whole(pool_), cut_down(pool_);
    for (auto const& [id, choice] : got)
      if (choice.slot != kNoId && !whole.has(id)) whole.add(extent_for(id, choice.slot));
    // It fits, unless another process took slots meanwhile.
    Builder& map = whole.fits() ? whole : cut_down;
    for (Id id : kept_) {
      LiveSlots::Choice const& choice = got[id];
      std::optional<LeftOut> why;
      if (choice.slot == kNoId) why = why_no_slot();
      if (!why && !map.has(id)) why = map.add_if_it_fits(extent_for(id, choice.slot));
      if (why) {
        leave_out(id, *why);
      } else if (asked_.contains(id)) {
        plan_.rows.push_back({id, choice.slot, choice.first_choice});
      }
    }
    fill_up(map);
    if (aliases_ == Aliases::all) add_aliases(map);
    plan_.extents = map.extents();
    finish();
  }

  // Slots that the map lets nobody inside have.
  std::vector<bool> unmapped_slots(Builder const& map) const {
    Id const first = slots_.first_slot();
    std::vector<bool> unmapped(slots_.slot_count(), true);
    for (Extent const& e : map.extents())
      for (Id at = std::max(e.outside, first); at - e.outside < e.count; ++at) {
        if (at - first >= unmapped.size()) break;
        unmapped[at - first] = false;
      }
    return unmapped;
  }

  void add_aliases(Builder& map) const {
    std::vector<bool> const unmapped = unmapped_slots(map);
    std::vector<Run> runs;
    for (std::size_t i = 0; i < unmapped.size(); ++i) {
      Id const slot = slots_.first_slot() + static_cast<Id>(i);
      if (!unmapped[i] || !pool_.contains(slot)) continue;
      if (map.has(kAliasBase + slot) || seen_.contains(kAliasBase + slot)) continue;
      if (runs.empty() || runs.back().last + 1 != slot || !map.same_parent(slot, slot - 1))
        runs.push_back({slot, slot});
      runs.back().last = slot;
    }
    std::stable_sort(runs.begin(), runs.end(),
                     [](Run a, Run b) { return a.last - a.first > b.last - b.first; });
    for (Run const& run : runs)
      map.add_if_it_fits({kAliasBase + run.first, run.first, run.last - run.first + 1});
  }

  void fill_up(Builder& map) {
    std::stable_sort(runs_.begin(), runs_.end(),
                     [](Run a, Run b) { return a.last - a.first > b.last - b.first; });
    for (Run const& run : runs_)
      if (!map.has(run.first)) map.add_if_it_fits({run.first, run.first, run.last - run.first + 1});
  }

  // What the fill brought was not left out after all.
  void finish() {
    std::erase_if(plan_.left_out, [&](IdPlan::Missing const& missing) {
      auto const slot = plan_.slot_of(missing.true_id);
      if (slot) plan_.rows.push_back({missing.true_id, *slot, true});
      return slot.has_value();
    });
    std::sort(plan_.rows.begin(), plan_.rows.end(),
              [](auto const& a, auto const& b) { return a.true_id < b.true_id; });
  }

  Pool const& pool_;
  LiveSlots& slots_;
  bool fill_;
  Aliases aliases_;
  std::vector<Id> wanted_;  // each once, 0 and nobody first
  std::vector<Id> kept_;
  std::unordered_set<Id> seen_, asked_;
  std::vector<Run> runs_;
  IdPlan plan_;
};

IdPlan plan_of_full_map(Pool const& pool, std::span<Id const> wanted) {
  IdPlan plan;
  plan.identity = true;
  for (Extent const& e : pool.extents()) plan.extents.push_back({e.inside, e.inside, e.count});
  std::vector<Id> ids(wanted.begin(), wanted.end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  for (Id id : ids) {
    if (id == kNoId) {
      plan.left_out.push_back({id, LeftOut::invalid});
    } else {
      plan.rows.push_back({id, id, true});
    }
  }
  return plan;
}

}  // namespace

const char* reason(LeftOut why) {
  switch (why) {
    case LeftOut::invalid: return "is no id: chown(2) and setuid(2) take it as \"do not change\"";
    case LeftOut::no_slot: return "no slot of the pool is free (the verb map shows who has them)";
    case LeftOut::no_window: return "the pool has no ids to spare: it needs more subordinate ids";
    case LeftOut::shared: return "another id has its hash slot (identity.collisions = share)";
    case LeftOut::lines: return "the map would have more than 340 lines, the kernel's limit";
    case LeftOut::bytes: return "the map would be longer than 4095 bytes, the kernel's limit";
  }
  return "";
}

std::optional<Id> IdPlan::slot_of(Id true_id) const {
  auto const after = std::upper_bound(extents.begin(), extents.end(), true_id,
                                      [](Id value, Extent const& e) { return value < e.inside; });
  if (after == extents.begin()) return std::nullopt;
  Extent const& e = *std::prev(after);
  if (true_id - e.inside >= e.count) return std::nullopt;
  return e.outside + (true_id - e.inside);
}

IdPlan plan_ids(Pool const& pool, LiveSlots& slots, std::span<Id const> wanted, bool fill,
                Aliases aliases) {
  if (pool.is_full()) return plan_of_full_map(pool, wanted);
  return Planner(pool, slots, wanted, fill, aliases).make();
}

std::string map_text(std::span<Extent const> extents) {
  std::string text;
  for (Extent const& e : extents)
    text += std::to_string(e.inside) + " " + std::to_string(e.outside) + " " +
            std::to_string(e.count) + "\n";
  return text;
}

}  // namespace identity
