// Owns: one reading of a merged directory, whose positions stay valid while names come and go.
// Called by: the READDIR handlers through an open directory. Never: touches a layer after it was
// made.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fusefs {

class Listing {
 public:
  struct Item {
    std::uint64_t ino;
    std::uint32_t begin;
    std::uint16_t length;
    std::uint8_t type;  // DT_*
  };
  void add(std::string_view name, std::uint8_t type, std::uint64_t ino) {
    items_.push_back({ino, static_cast<std::uint32_t>(names_.size()),
                      static_cast<std::uint16_t>(name.size()), type});
    names_.append(name);
  }
  /// A position whose name is gone by now.
  void add_gap() { items_.push_back({0, 0, 0, 0}); }
  static std::uint32_t hash(std::string_view name) {
    std::uint32_t hash = 0x811c9dc5;
    for (unsigned char c : name) hash = (hash ^ c) * 0x01000193;
    return hash;
  }
  /// The hash of each name, in order.
  std::vector<std::uint32_t> hashes() const {
    std::vector<std::uint32_t> all;
    all.reserve(items_.size());
    for (const Item& item : items_) all.push_back(hash(name(item)));
    return all;
  }
  /// The same names, those of `order` where they stood then, the others behind them.
  std::shared_ptr<Listing> in_order(const std::vector<std::uint32_t>& order) const;
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

}  // namespace fusefs
