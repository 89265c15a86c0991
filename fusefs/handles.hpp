// Owns: what open(2) gave to the kernel. Called by: the handlers, copy-up, unlink.
// Never: trusts a handle number from outside.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
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
    for (std::uint64_t handle = files_.size(); handle-- > 0;)
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
  std::size_t size() const { return files_.size() - free_.size(); }
  /// Open files that hold a descriptor of their layer.
  std::size_t descriptors() const {
    return static_cast<std::size_t>(std::count_if(
        files_.begin(), files_.end(), [](const auto& file) { return file && file->fd; }));
  }

 private:
  std::vector<std::shared_ptr<OpenFile>> files_;
  std::vector<std::uint64_t> free_;
  Ledger* ledger_ = nullptr;
};

}  // namespace fusefs
