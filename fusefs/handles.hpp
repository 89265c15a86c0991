// Owns: what open(2) and opendir(2) gave to the kernel. Called by: the handlers, copy-up, unlink.
// Never: trusts a handle number from outside.
#pragma once
#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "base/fd.hpp"
#include "fusefs/listing.hpp"
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
  SharedFd fd;    // of a regular file; of a directory once an operation needed one
  int flags = 0;  // O_ACCMODE part as opened on the layer
  std::shared_ptr<Listing> listing;  // of a directory, made at the first read from its start
  std::list<OpenFile*>::iterator in_listed;  // valid while there is a listing
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
    drop_listing(*last);
    free_.push_back(handle);
  }
  /// Gives an open directory its listing. A container may hold very many directories open: beyond
  /// the limit those listed longest ago lose theirs, and read the directory anew when they go on.
  void put_listing(OpenFile& file, std::shared_ptr<Listing> listing) {
    drop_listing(file);
    listed_bytes_ += listing->weight();
    file.listing = std::move(listing);
    file.in_listed = listed_.insert(listed_.end(), &file);
    while (listed_bytes_ > listing_memory_ && listed_.size() > 1) drop_listing(*listed_.front());
  }
  void limit_listings(std::size_t bytes) { listing_memory_ = bytes; }
  std::size_t listed_bytes() const { return listed_bytes_; }
  std::size_t size() const { return files_.size() - free_.size(); }
  /// Open files that hold a descriptor of their layer.
  std::size_t descriptors() const {
    return static_cast<std::size_t>(std::count_if(
        files_.begin(), files_.end(), [](const auto& file) { return file && file->fd; }));
  }

 private:
  void drop_listing(OpenFile& file) {
    if (!file.listing) return;
    listed_bytes_ -= file.listing->weight();
    listed_.erase(file.in_listed);
    file.listing.reset();
  }
  std::vector<std::shared_ptr<OpenFile>> files_;
  std::vector<std::uint64_t> free_;
  std::list<OpenFile*> listed_;  // who has a listing, oldest first
  std::size_t listed_bytes_ = 0;
  std::size_t listing_memory_ = 256 * 1024 * 1024;
  Ledger* ledger_ = nullptr;
};

}  // namespace fusefs
