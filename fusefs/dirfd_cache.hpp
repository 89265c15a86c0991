// Owns: the O_PATH descriptors of recently used directories, least recently used first to go.
// Called by: Overlay::dir_fd. Never: holds more than its limit; a descriptor is valid until the
// next insert beyond it, so nobody keeps one over a co_await.
#pragma once
#include <cstdint>
#include <list>
#include <unordered_map>

#include "base/fd.hpp"
#include "fusefs/node.hpp"

namespace fusefs {

class DirfdCache {
 public:
  /// `limit`: descriptors held at most (at least 16: one operation may need several at once).
  explicit DirfdCache(std::size_t limit) : limit_(limit < 16 ? 16 : limit) {}

  /// The descriptor of this node's version in `layer`, or -1.
  int find(NodeId node, LayerIndex layer) {
    auto found = index_.find(key(node, layer));
    if (found == index_.end()) return -1;
    order_.splice(order_.begin(), order_, found->second);
    return found->second->fd.get();
  }
  int insert(NodeId node, LayerIndex layer, base::Fd fd) {
    if (order_.size() >= limit_) {
      index_.erase(order_.back().key);
      order_.pop_back();
    }
    order_.push_front({key(node, layer), std::move(fd)});
    index_[order_.front().key] = order_.begin();
    return order_.front().fd.get();
  }
  void drop(NodeId node, LayerIndex layer) {
    auto found = index_.find(key(node, layer));
    if (found == index_.end()) return;
    order_.erase(found->second);
    index_.erase(found);
  }
  /// Out of the cache; empty: it is not there.
  base::Fd take(NodeId node, LayerIndex layer) {
    auto found = index_.find(key(node, layer));
    if (found == index_.end()) return {};
    base::Fd fd = std::move(found->second->fd);
    drop(node, layer);
    return fd;
  }
  void drop(const Node& node) {
    if (node.dir)
      for (const LayerDir& version : node.dir->layers) drop(node.id, version.layer);
  }
  std::size_t size() const { return order_.size(); }
  std::size_t limit() const { return limit_; }

 private:
  struct Entry {
    std::uint64_t key;
    base::Fd fd;
  };
  static std::uint64_t key(NodeId node, LayerIndex layer) { return node << 16 | layer; }
  std::size_t limit_;
  std::list<Entry> order_;
  std::unordered_map<std::uint64_t, std::list<Entry>::iterator> index_;
};

}  // namespace fusefs
