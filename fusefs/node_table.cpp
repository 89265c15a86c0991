#include "fusefs/node_table.hpp"

#include <malloc.h>

#include <algorithm>

namespace fusefs {
namespace {

constexpr std::size_t kFirstBuckets = 1024;
constexpr std::size_t kTrimAfter = 4 * 1024;  // nodes freed before memory is given back

}  // namespace

NodeTable::NodeTable() : nodes_(2), buckets_(kFirstBuckets) {
  nodes_[kRootNode] = std::make_unique<Node>();
  Node* root = nodes_[kRootNode].get();
  root->id = kRootNode;
  root->type = identity::NodeType::dir;
  root->lookups = 1;  // the kernel never forgets the root
  root->dir = std::make_unique<DirPart>();
  live_ = 1;
}

NodeTable::~NodeTable() = default;

Node* NodeTable::find(NodeId id) const {
  return id < nodes_.size() ? nodes_[id].get() : nullptr;
}

std::size_t NodeTable::bucket(const Node* parent, std::string_view name) const {
  std::size_t hash = std::hash<std::string_view>()(name) ^ (parent->id * 0x9E3779B97F4A7C15ull);
  return (hash ^ (hash >> 32)) & (buckets_.size() - 1);
}

Name** NodeTable::slot(const Node* parent, std::string_view name) {
  Name** at = &buckets_[bucket(parent, name)];
  while (*at && ((*at)->parent != parent || (*at)->text != name)) at = &(*at)->next_in_bucket;
  return at;
}

Node* NodeTable::find(const Node* parent, std::string_view name) const {
  for (Name* at = buckets_[bucket(parent, name)]; at; at = at->next_in_bucket)
    if (at->parent == parent && at->text == name) return at->node;
  return nullptr;
}

// By identity: whatever else may claim the same place, this one leaves.
void NodeTable::take_out(Name* name) {
  Name** at = &buckets_[bucket(name->parent, name->text)];
  while (*at && *at != name) at = &(*at)->next_in_bucket;
  if (!*at) return;
  *at = name->next_in_bucket;
  --names_;
}

void NodeTable::grow() {
  std::vector<Name*> old(buckets_.size() * 2);
  old.swap(buckets_);
  for (Name* head : old)
    while (head) {
      Name* next = head->next_in_bucket;
      Name*& place = buckets_[bucket(head->parent, head->text)];
      head->next_in_bucket = place;
      place = head;
      head = next;
    }
}

void NodeTable::insert(Name* name) {
  if (names_ >= buckets_.size()) grow();
  Name*& place = buckets_[bucket(name->parent, name->text)];
  name->next_in_bucket = place;
  place = name;
  ++names_;
  pin(name->parent);
}

Node* NodeTable::create(Node* parent, std::string_view name) {
  NodeId id;
  if (free_.empty()) {
    id = nodes_.size();
    nodes_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  nodes_[id] = std::make_unique<Node>();
  Node* node = nodes_[id].get();
  node->id = id;
  ++live_;
  if (parent) add_name(node, parent, name);
  return node;
}

void NodeTable::add_name(Node* node, Node* parent, std::string_view text) {
  Name* name = insert(node, parent, text);
  if (ledger_) name->cell = ledger_->name(node->id, parent->id, text);
}

Name* NodeTable::insert(Node* node, Node* parent, std::string_view text) {
  Name* name = &node->name;
  if (name->parent) {
    auto& more = node->file_part().names;
    more.push_back(std::make_unique<Name>());
    name = more.back().get();
  }
  name->parent = parent;
  name->text = text;
  name->node = node;
  node->gone = node->unlinked = false;
  insert(name);
  return name;
}

void NodeTable::remove_name(Node* parent, std::string_view text) {
  Name** at = slot(parent, text);
  Name* name = *at;
  if (!name) return;
  *at = name->next_in_bucket;
  --names_;
  Node* node = name->node;
  name->parent = nullptr;
  if (ledger_) ledger_->drop_name(std::exchange(name->cell, 0));
  if (node->file && !node->file->names.empty()) {
    auto& more = node->file->names;
    if (name == &node->name) {  // the embedded name goes: another takes its place
      Name& heir = *more.back();
      take_out(&heir);
      node->name.parent = heir.parent;
      node->name.text = std::move(heir.text);
      node->name.cell = heir.cell;
      Name*& place = buckets_[bucket(node->name.parent, node->name.text)];
      node->name.next_in_bucket = place;
      place = &node->name;
      ++names_;
      more.pop_back();
    } else {
      std::erase_if(more, [&](const auto& other) { return other.get() == name; });
    }
  }
  unpin(parent);
}

void NodeTable::rename(Node* parent, std::string_view text, Node* new_parent,
                       std::string_view new_text) {
  Name** at = slot(parent, text);
  Name* name = *at;
  if (!name) return;
  *at = name->next_in_bucket;
  --names_;
  name->parent = new_parent;
  name->text = new_text;
  insert(name);
  if (ledger_) {
    Ledger::Cell old = name->cell;
    name->cell = ledger_->name(name->node->id, new_parent->id, new_text);
    ledger_->drop_name(old);
  }
  unpin(parent);
}

void NodeTable::exchange(Node* parent, std::string_view text, Node* other_parent,
                         std::string_view other_text) {
  Name* a = *slot(parent, text);
  Name* b = *slot(other_parent, other_text);
  if (a && b) {
    // "/" is no name: nothing can stand there in between.
    rename(parent, text, parent, "/");
    rename(other_parent, other_text, parent, std::string(text));
    rename(parent, "/", other_parent, other_text);
  }
}

Node* NodeTable::find_inode(dev_t device, ino_t ino) const {
  auto found = inodes_.find({device, ino});
  return found == inodes_.end() ? nullptr : found->second;
}

void NodeTable::index_inode(Node* node, dev_t device, ino_t ino) {
  node->multi = true;
  inodes_[{device, ino}] = node;
  inode_of_[node->id] = {device, ino};
  if (ledger_) ledger_->index(node->id, ino);
}

void NodeTable::forget(Node* node, std::uint64_t count) {
  if (node->id == kRootNode) return;
  node->lookups -= std::min(count, node->lookups);
  if (ledger_) ledger_->lookups(node->id, node->lookups);
  reap(node);
}

void NodeTable::unpin(Node* node) {
  --node->pins;
  reap(node);
}

void NodeTable::bury(const Node& node) {
  ledger_->bury(node.id);
  ledger_->drop_name(node.name.cell);
  if (!node.file) return;
  for (const auto& name : node.file->names) ledger_->drop_name(name->cell);
}

Node* NodeTable::restore(NodeId id) {
  if (id >= nodes_.size()) nodes_.resize(id + 1);
  nodes_[id] = std::make_unique<Node>();
  nodes_[id]->id = id;
  nodes_[id]->stale = true;
  ++live_;
  return nodes_[id].get();
}

void NodeTable::restore_name(Node* node, Node* parent, std::string_view name, Ledger::Cell cell) {
  insert(node, parent, name)->cell = cell;
}

void NodeTable::restored() {
  free_.clear();
  for (NodeId id = nodes_.size(); --id > kRootNode;)
    if (!nodes_[id]) free_.push_back(id);
}

void NodeTable::reap(Node* node) {
  // A loop, not a recursion through unpin: a container decides how deep its directories go.
  while (node && node->lookups == 0 && node->pins == 0) {
    if (on_death_) on_death_(*node);
    Node* parent = node->name.parent;
    std::vector<Node*> other_parents;
    if (parent) take_out(&node->name);
    if (node->file)
      for (auto& name : node->file->names) {
        take_out(name.get());
        other_parents.push_back(name->parent);
      }
    if (node->multi) {
      auto key = inode_of_.find(node->id);
      if (key != inode_of_.end()) {
        inodes_.erase(key->second);
        inode_of_.erase(key);
      }
    }
    NodeId id = node->id;
    if (ledger_) bury(*node);
    nodes_[id].reset();
    free_.push_back(id);
    --live_;
    if (++freed_ >= kTrimAfter && freed_ > live_) {
      freed_ = 0;
      ::malloc_trim(0);
    }
    for (Node* other : other_parents) unpin(other);
    if (parent) --parent->pins;
    node = parent;
  }
}

}  // namespace fusefs
