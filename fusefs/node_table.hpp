// Owns: all nodes of one mount, their index by number, by (parent, name) and - hard links - by
// inode. Called by: Overlay. Never: touches a file system; a node lives while the kernel, a child
// or a Pin wants it.
#pragma once
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fusefs/ledger.hpp"
#include "fusefs/node.hpp"

namespace fusefs {

class NodeTable {
 public:
  NodeTable();
  ~NodeTable();
  NodeTable(const NodeTable&) = delete;
  NodeTable& operator=(const NodeTable&) = delete;

  Node* root() { return nodes_[kRootNode].get(); }
  /// The node with this number, or nullptr: numbers come from outside.
  Node* find(NodeId id) const;
  Node* find(const Node* parent, std::string_view name) const;
  Node* create(Node* parent, std::string_view name);

  /// The kernel got one more reference.
  void remember(Node* node) {
    ++node->lookups;
    if (!ledger_) return;
    ledger_->lookups(node->id, node->lookups);
    ledger_->counted(node->id);
  }
  /// The kernel dropped `count`; the node dies when nothing else wants it.
  void forget(Node* node, std::uint64_t count);
  void pin(Node* node) { ++node->pins; }
  void unpin(Node* node);

  void add_name(Node* node, Node* parent, std::string_view name);
  /// Removes one name; when it was the last, the node is without name (the caller sets `gone`).
  void remove_name(Node* parent, std::string_view name);
  void rename(Node* parent, std::string_view name, Node* new_parent, std::string_view new_name);
  void exchange(Node* parent, std::string_view name, Node* other_parent, std::string_view other);

  /// Hard-linked inodes of the upper layer.
  Node* find_inode(dev_t device, ino_t ino) const;
  void index_inode(Node* node, dev_t device, ino_t ino);

  // --- with a ledger, which outlives this process ---
  void keep(Ledger* ledger) { ledger_ = ledger; }
  /// Number and type of the inode have been decided on.
  void describe(const Node& node) {
    if (ledger_) ledger_->describe(node.id, node.ino, static_cast<std::uint8_t>(node.type));
  }
  /// A node as an earlier process knew it, without names; then its names, each once; then the rest
  /// of the numbers are free.
  Node* restore(NodeId id);
  void restore_name(Node* node, Node* parent, std::string_view name, Ledger::Cell cell);
  void restored();

  std::size_t size() const { return live_; }
  /// All numbers are below this one.
  NodeId end() const { return nodes_.size(); }
  /// Called with each node that dies, before it does.
  void on_death(std::function<void(Node&)> hook) { on_death_ = std::move(hook); }

 private:
  static constexpr NodeId kRootNode = 1;
  struct InodeKey {
    dev_t device;
    ino_t ino;
    friend bool operator==(const InodeKey&, const InodeKey&) = default;
  };
  struct InodeHash {
    std::size_t operator()(const InodeKey& key) const {
      return std::hash<std::uint64_t>()(key.ino * 0x9E3779B97F4A7C15ull ^ key.device);
    }
  };
  std::size_t bucket(const Node* parent, std::string_view name) const;
  Name** slot(const Node* parent, std::string_view name);
  Name* insert(Node* node, Node* parent, std::string_view name);
  void insert(Name* name);
  void take_out(Name* name);
  void grow();
  void reap(Node* node);
  void bury(const Node& node);

  std::vector<std::unique_ptr<Node>> nodes_;  // by number; 0 is never used
  std::vector<NodeId> free_;
  std::vector<Name*> buckets_;
  std::size_t names_ = 0;
  std::size_t live_ = 0;
  std::size_t freed_ = 0;  // since memory was last given back
  std::unordered_map<InodeKey, Node*, InodeHash> inodes_;
  std::unordered_map<NodeId, InodeKey> inode_of_;
  std::function<void(Node&)> on_death_;
  Ledger* ledger_ = nullptr;
};

/// Keeps a node alive while a handler works on it.
class Pin {
 public:
  Pin(NodeTable& table, Node* node) : table_(&table), node_(node) { table.pin(node); }
  Pin(Pin&& other) noexcept : table_(other.table_), node_(std::exchange(other.node_, nullptr)) {}
  Pin& operator=(Pin&&) = delete;
  ~Pin() {
    if (node_) table_->unpin(node_);
  }
  Node* operator->() const { return node_; }
  Node* get() const { return node_; }

 private:
  NodeTable* table_;
  Node* node_;
};

}  // namespace fusefs
