#include "images/found.hpp"

#include <algorithm>

namespace images {
namespace {

constexpr std::size_t kMostOrigin = 200;  // bytes

}  // namespace

std::string_view word(Weight weight) {
  constexpr std::string_view kWords[] = {"process", "asked",    "account", "owner",
                                         "devpts",  "ordinary", "subid"};
  return kWords[static_cast<std::size_t>(weight)];
}

void Found::add(Id id, Weight weight, std::string_view origin, std::uint32_t count) {
  auto known = facts_.find(id);
  const bool must = weight <= Weight::asked;
  if (id == identity::kNoId || (known == facts_.end() && facts_.size() >= kMost && !must)) {
    ++dropped_;
    return;
  }
  if (known == facts_.end())
    known = facts_.emplace(id, Fact{weight, std::string(origin.substr(0, kMostOrigin)), 0}).first;
  Fact& fact = known->second;
  if (weight < fact.weight) {
    fact.weight = weight;
    fact.origin = origin.substr(0, kMostOrigin);
  }
  fact.count = fact.count > UINT32_MAX - count ? UINT32_MAX : fact.count + count;
}

bool Found::add_again(Id id, Weight weight) {
  auto known = facts_.find(id);
  if (known == facts_.end() || weight < known->second.weight) return false;
  if (known->second.count < UINT32_MAX) ++known->second.count;
  return true;
}

void Found::add_all(const Found& other) {
  for (const auto& [id, fact] : other.facts_) add(id, fact.weight, fact.origin, fact.count);
  dropped_ += other.dropped_;
}

std::vector<Id> Found::by_importance() const {
  std::vector<Id> ids;
  ids.reserve(facts_.size());
  for (const auto& [id, fact] : facts_) ids.push_back(id);
  std::stable_sort(ids.begin(), ids.end(), [this](Id left, Id right) {
    return facts_.at(left).weight < facts_.at(right).weight;
  });
  return ids;
}

void FoundIds::note(std::string text) {
  if (notes.size() < kMostNotes) return notes.push_back(std::move(text));
  if (notes.size() == kMostNotes) notes.emplace_back("more of this kind is not listed");
}

void FoundIds::add_all(const FoundIds& other) {
  uids.add_all(other.uids);
  gids.add_all(other.gids);
  for (const std::string& text : other.notes) note(text);
}

void add_ordinary(FoundIds& found) {
  for (Id id = 1000; id <= 1015; ++id) {
    found.uids.add(id, Weight::ordinary, "the ids that useradd gives first");
    found.gids.add(id, Weight::ordinary, "the ids that useradd gives first");
  }
}

}  // namespace images
