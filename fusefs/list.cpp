// Merged listings: upper names first, each name once, nothing that a whiteout or an opaque mark
// hides.
#include <dirent.h>
#include <fcntl.h>

#include <unordered_set>

#include "fusefs/merge.hpp"
#include "fusefs/overlay.hpp"

namespace fusefs {

namespace at = ring::at;

void Listing::arrange() {
  constexpr std::uint32_t kPlaces = 0x7fff0000;
  for (Item& item : items_) {
    std::uint32_t hash = 0x811c9dc5;
    for (unsigned char c : name(item)) hash = (hash ^ c) * 0x01000193;
    item.place = hash % kPlaces + static_cast<std::uint32_t>(kFirstPlace);
  }
  std::sort(items_.begin(), items_.end(), [this](const Item& a, const Item& b) {
    return a.place != b.place ? a.place < b.place : name(a) < name(b);
  });
  for (std::size_t i = 1; i < items_.size(); ++i)
    items_[i].place = std::max(items_[i].place, items_[i - 1].place + 1);
}

base::Result<std::shared_ptr<Listing>> Overlay::list(Node* dir) {
  auto listing = std::make_shared<Listing>();
  if (dir->gone || !dir->dir) return listing;
  auto& versions = dir->dir->layers;
  std::unordered_set<std::string> seen;
  for (std::size_t i = 0; i < versions.size(); ++i) {
    bool merged = versions.size() > 1;
    TRY(path, dir_fd(dir, versions[i].layer));
    auto fd = at::open({path, "."}, O_RDONLY | O_DIRECTORY);
    if (!fd) return tl::make_unexpected(fd.error());
    LayerIndex layer = versions[i].layer;
    std::vector<std::string> hidden_below;
    TRY_VOID(at::for_each_entry(fd->get(), [&](const at::Entry& entry) {
      if (entry.name.starts_with(kWhiteoutPrefix)) {
        if (merged) hidden_below.emplace_back(entry.name.substr(kWhiteoutPrefix.size()));
        return true;
      }
      unsigned char type = entry.type;
      if (type == DT_CHR || type == DT_UNKNOWN) {
        auto st = at::stat({path, std::string(entry.name)});
        if (!st) return true;  // gone meanwhile
        type = static_cast<unsigned char>(IFTODT(st->st_mode));
        if (Merge::is_whiteout(*st)) {
          if (merged) seen.emplace(entry.name);
          return true;
        }
      }
      if (merged && !seen.emplace(entry.name).second) return true;
      if (stack_.layers[layer].typed_overrides && type == DT_REG) type = DT_UNKNOWN;
      Node* known = nodes_.find(dir, entry.name);
      listing->add(entry.name, type, known ? known->ino : present_ino(layer, entry.ino));
      return true;
    }));
    for (auto& name : hidden_below) seen.insert(std::move(name));
  }
  return listing;
}

}  // namespace fusefs
