// Owns: what open(2) gave to the kernel. Called by: the handlers, copy-up, unlink.
// Never: trusts a handle number from outside.
#pragma once
#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/fd.hpp"
#include "fusefs/node_table.hpp"

namespace fusefs {

/// A descriptor that operations under way share with the handle, which copy-up may replace
/// meanwhile.
using SharedFd = std::shared_ptr<const base::Fd>;

struct OpenFile {
  OpenFile(NodeTable& table, Node* of) : node(table, of) {
    if (!of->is_dir()) of->file_part().open.push_back(this);
  }
  ~OpenFile() {
    if (node.get()->file) std::erase(node.get()->file->open, this);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  Pin node;
  SharedFd fd;
  int flags = 0;                // O_ACCMODE part as opened on the layer
  std::uint64_t size_seen = 0;  // it had so many bytes when a read last looked
};

/// What comes with requests for a file which the kernel has opened without asking (see on_open).
inline constexpr std::uint64_t kNoHandle = 0;

/// Files that were opened so and then read or written: the last ones.
class Unannounced {
 public:
  std::shared_ptr<OpenFile> find(NodeId node) {
    auto found = index_.find(node);
    if (found == index_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return *found->second;
  }
  void put(std::shared_ptr<OpenFile> file) {
    const NodeId node = file->node->id;
    drop(node);
    order_.push_front(std::move(file));
    index_[node] = order_.begin();
    if (order_.size() > kMost) drop(order_.back()->node->id);
  }
  void drop(NodeId node) {
    auto found = index_.find(node);
    if (found == index_.end()) return;
    auto last = std::move(*found->second);  // its end may lead back here
    order_.erase(found->second);
    index_.erase(found);
  }
  std::size_t size() const { return order_.size(); }

 private:
  static constexpr std::size_t kMost = 64;
  std::list<std::shared_ptr<OpenFile>> order_;  // newest use first
  std::unordered_map<NodeId, std::list<std::shared_ptr<OpenFile>>::iterator> index_;
};

class Handles {
 public:
  std::uint64_t add(std::shared_ptr<OpenFile> file) {
    std::uint64_t handle = files_.size();
    if (free_.empty()) {
      files_.emplace_back();
    } else {
      handle = free_.back();
      free_.pop_back();
    }
    if (ledger_) ledger_->handle(handle, file->node->id, file->flags);
    files_[handle] = std::move(file);
    return handle;
  }
  void keep(Ledger* ledger) { ledger_ = ledger; }
  /// A handle that an earlier process gave out; after the last of them restored().
  void restore(std::uint64_t handle, std::shared_ptr<OpenFile> file) {
    if (handle >= files_.size()) files_.resize(handle + 1);
    files_[handle] = std::move(file);
  }
  void restored() {
    free_.clear();
    for (std::uint64_t handle = files_.size(); --handle > kNoHandle;)
      if (!files_[handle]) free_.push_back(handle);
  }
  /// The open file, or nothing: numbers come from outside.
  std::shared_ptr<OpenFile> find(std::uint64_t handle) const {
    return handle < files_.size() ? files_[handle] : nullptr;
  }
  void remove(std::uint64_t handle) {
    if (handle >= files_.size() || !files_[handle]) return;
    if (ledger_) ledger_->drop_handle(handle);
    auto last = std::move(files_[handle]);
    free_.push_back(handle);
  }
  std::size_t size() const { return files_.size() - 1 - free_.size(); }
  /// Open files that hold a descriptor of their layer.
  std::size_t descriptors() const {
    return static_cast<std::size_t>(std::count_if(
        files_.begin(), files_.end(), [](const auto& file) { return file && file->fd; }));
  }

 private:
  std::vector<std::shared_ptr<OpenFile>> files_{kNoHandle + 1};
  std::vector<std::uint64_t> free_;
  Ledger* ledger_ = nullptr;
};

}  // namespace fusefs
