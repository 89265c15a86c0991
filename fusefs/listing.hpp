// Owns: one reading of a merged directory, and the readings that may be gone on with.
// Called by: the READDIR handlers. Never: touches a layer after it was made.
#pragma once
#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace fusefs {

class Listing {
 public:
  struct Item {
    std::uint64_t ino;
    std::uint32_t begin;
    std::uint32_t place;  // set by arrange()
    std::uint16_t length;
    std::uint8_t type;  // DT_*
  };
  static constexpr std::uint64_t kFirstPlace = 3;  // those before belong to "." and ".."

  void add(std::string_view name, std::uint8_t type, std::uint64_t ino) {
    items_.push_back({ino, static_cast<std::uint32_t>(names_.size()), 0,
                      static_cast<std::uint16_t>(name.size()), type});
    names_.append(name);
  }
  /// Gives each name its place, which depends on the name alone (where two fall together, on both):
  /// a reading made later, by another process even, goes on behind the same place. 31 bits, since
  /// programs of 32 bits take no more.
  void arrange();
  /// The first item behind a place.
  std::size_t after(std::uint64_t place) const {
    auto behind = [](std::uint64_t at, const Item& item) { return at < item.place; };
    auto found = std::upper_bound(items_.begin(), items_.end(), place, behind);
    return static_cast<std::size_t>(found - items_.begin());
  }
  std::size_t size() const { return items_.size(); }
  /// Bytes of memory.
  std::size_t weight() const { return names_.capacity() + items_.capacity() * sizeof(Item); }
  const Item& item(std::size_t i) const { return items_[i]; }
  std::string_view name(const Item& item) const {
    return std::string_view(names_).substr(item.begin, item.length);
  }

 private:
  std::string names_;
  std::vector<Item> items_;
};

/// Listings that have not been read to their end, by directory. A container may leave very many of
/// them: beyond the limit the oldest go, and are made anew when somebody goes on.
class Listings {
 public:
  std::shared_ptr<const Listing> find(std::uint64_t node) const {
    auto found = index_.find(node);
    return found == index_.end() ? nullptr : found->second->listing;
  }
  void put(std::uint64_t node, std::shared_ptr<const Listing> listing) {
    drop(node);
    bytes_ += listing->weight();
    index_[node] = order_.insert(order_.end(), {node, std::move(listing)});
    while (bytes_ > limit_ && order_.size() > 1) drop(order_.front().node);
  }
  void drop(std::uint64_t node) {
    auto found = index_.find(node);
    if (found == index_.end()) return;
    bytes_ -= found->second->listing->weight();
    order_.erase(found->second);
    index_.erase(found);
  }
  void limit(std::size_t bytes) { limit_ = bytes; }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::uint64_t node;
    std::shared_ptr<const Listing> listing;
  };
  std::list<Entry> order_;  // oldest first
  std::unordered_map<std::uint64_t, std::list<Entry>::iterator> index_;
  std::size_t bytes_ = 0;
  std::size_t limit_ = 64 * 1024 * 1024;
};

}  // namespace fusefs
