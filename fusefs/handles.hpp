// Owns: what open(2) and opendir(2) gave to the kernel. Called by: the handlers, copy-up, unlink.
// Never: trusts a handle number from outside.
#pragma once
#include <cstdint>
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
};

class Handles {
 public:
  std::uint64_t add(std::shared_ptr<OpenFile> file) {
    if (free_.empty()) {
      files_.push_back(std::move(file));
      return files_.size() - 1;
    }
    std::uint64_t handle = free_.back();
    free_.pop_back();
    files_[handle] = std::move(file);
    return handle;
  }
  /// The open file, or nothing: numbers come from outside.
  std::shared_ptr<OpenFile> find(std::uint64_t handle) const {
    return handle < files_.size() ? files_[handle] : nullptr;
  }
  void remove(std::uint64_t handle) {
    if (handle >= files_.size() || !files_[handle]) return;
    auto last = std::move(files_[handle]);
    free_.push_back(handle);
  }
  std::size_t size() const { return files_.size() - free_.size(); }

 private:
  std::vector<std::shared_ptr<OpenFile>> files_;
  std::vector<std::uint64_t> free_;
};

}  // namespace fusefs
