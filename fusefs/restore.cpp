// From a ledger back to the tables of a mount. Only names, numbers and counts are in it: what a
// node is, is read from disk when somebody asks for it (awaken), so that a million nodes are no
// reason to let anybody wait.
#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

#include "fusefs/merge.hpp"
#include "fusefs/overlay.hpp"

namespace fusefs {

namespace at = ring::at;
using identity::NodeType;

namespace {

constexpr LayerIndex kUnknownLayer = 0xFFFF;  // of a stale node: none, so that nobody uses it

std::string kept_name(NodeId id, std::uint64_t disk_ino) {
  return "node-" + std::to_string(id) + "-" + std::to_string(disk_ino);
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 255 && text != "." && text != ".." &&
         text.find('/') == text.npos && text.find('\0') == text.npos;
}

}  // namespace

void Overlay::keep(Ledger* ledger) {
  ledger_ = ledger;
  nodes_.keep(ledger);
  handles_.keep(ledger);
}

Overlay::~Overlay() {
  drop_descriptor = nullptr;
  keep(nullptr);
}

std::uint64_t Overlay::tell_layers() const {
  std::uint64_t hash = 0xcbf29ce484222325ull;
  auto mix = [&](std::uint64_t value) { hash = (hash ^ value) * 0x100000001b3ull; };
  mix(stack_.writable);
  for (const Layer& layer : stack_.layers) {
    struct stat st {};
    ::fstat(layer.root.get(), &st);
    mix(st.st_dev);
    mix(st.st_ino);
  }
  return hash;
}

void Overlay::keep_descriptor_of(Node* node) {
  struct stat st;
  if (!ledger_ || node->kept || !node->orphan.valid()) return;
  if (::fstat(node->orphan.get(), &st) != 0) return;
  node->kept = true;
  // In keeping first: what the ledger tells of is there.
  if (keep_descriptor) keep_descriptor(kept_name(node->id, st.st_ino), node->orphan.get());
  ledger_->orphan(node->id, st.st_ino, node->layer);
}

void Overlay::lose_orphan(Node* node) {
  const layout::Node* record = ledger_ && node->kept ? ledger_->node_at(node->id) : nullptr;
  if (record && drop_descriptor) drop_descriptor(kept_name(node->id, record->disk_ino));
  node->kept = false;
  node->orphan.reset();
}

void Overlay::replace_orphan(Node* node, base::Fd fd) {
  const layout::Node* record = ledger_ && node->kept ? ledger_->node_at(node->id) : nullptr;
  std::string old = record ? kept_name(node->id, record->disk_ino) : "";
  node->orphan = std::move(fd);
  if (!node->kept) return;
  node->kept = false;
  keep_descriptor_of(node);
  if (drop_descriptor && !old.empty()) drop_descriptor(old);
}

// Nobody tells us of open directories: whichever the kernel knows may be one.
bool Overlay::is_open(const Node& node) {
  return node.is_dir() ? node.lookups > 0 : node.file && !node.file->open.empty();
}

// It stays in the table: the kernel may have sent a FORGET that we have not read, and the number
// must not be somebody else's by then.
void Overlay::reconsider(Node* node) {
  if (!node->gone || !node->orphan.valid() || (!node->is_dir() && is_open(*node))) return;
  if (kernel_knows && !kernel_knows(node->id)) lose_orphan(node);
}

// --- a restored node as somebody asks for it ---------------------------------------------------

base::Result<> Overlay::wake(Node* node) {
  if (node->gone) {
    node->stale = false;
    if (!node->orphan.valid()) return base::Unit{};
    TRY(st, at::stat({node->orphan.get(), ""}));
    take_facts(node, st, owners_.read(at::by_fd(node->orphan.get()), st, false));
    return base::Unit{};
  }
  if (!node->name.parent) return base::fail(ESTALE);  // while it is restored
  TRY(found, Merge(*this).entry(node->name.parent, node->name.text));
  if (S_ISDIR(found.st.st_mode) != node->is_dir()) return base::fail(ESTALE);
  bool upper_link = found.layer == 0 && stack_.writable && !node->is_dir() && found.st.st_nlink > 1;
  node->stale = false;
  fill(node, found);
  if (upper_link && !node->multi) nodes_.index_inode(node, found.st.st_dev, found.st.st_ino);
  return base::Unit{};
}

// From the top: where a node lies is where its directory lies. A loop, since a container decides
// the depth.
base::Result<> Overlay::awaken(Node* node) {
  if (!node->stale) return base::Unit{};
  std::vector<Node*> asleep;
  for (Node* at = node; at && at->stale; at = at->name.parent) asleep.push_back(at);
  for (; !asleep.empty(); asleep.pop_back()) TRY_VOID(wake(asleep.back()));
  return base::Unit{};
}

// --- restoring ---------------------------------------------------------------------------------

void Overlay::restore_nodes(Restored& all) {
  for (NodeId id = 2; id < ledger_->node_limit(); ++id) {
    const layout::Node* record = ledger_->node_at(id);
    if (!record) continue;
    Node* node = nodes_.restore(id);
    ++all.nodes;
    node->lookups = record->lookups;
    node->ino = record->ino;
    node->layer = kUnknownLayer;
    node->type = static_cast<NodeType>(record->type);
    if (node->is_dir()) node->dir = std::make_unique<DirPart>();
    if (record->state & layout::Node::kMulti && stack_.writable)
      nodes_.index_inode(node, stack_.layers[0].device, record->disk_ino);
  }
}

// A name of a node that is no more, or below something that is none any more, is what a crash in
// the middle of a change has left.
void Overlay::restore_names() {
  std::vector<Ledger::Cell> wrong;
  ledger_->each_name([&](const Ledger::FoundName& name) {
    Node* node = nodes_.find(name.node);
    Node* parent = nodes_.find(name.parent);
    bool fits = node && parent && node != nodes_.root() && parent->is_dir() && node != parent &&
                is_name(name.text) && !nodes_.find(parent, name.text) &&
                !(node->is_dir() && node->name.parent) && !contested(name);
    if (fits)
      nodes_.restore_name(node, parent, name.text, name.cell);
    else
      wrong.push_back(name.cell);
  });
  for (Ledger::Cell cell : wrong) ledger_->drop_name(cell);
}

void Overlay::cut_loops() {
  enum : std::uint8_t { unknown, walking, fine };
  std::vector<std::uint8_t> state(ledger_->node_limit(), unknown);
  std::vector<Node*> way;
  for (NodeId id = 2; id < state.size(); ++id) {
    Node* at = nodes_.find(id);
    while (at && at != nodes_.root() && state[at->id] == unknown) {
      state[at->id] = walking;
      way.push_back(at);
      at = at->name.parent;
    }
    bool loop = at && at != nodes_.root() && state[at->id] == walking;
    for (; !way.empty(); way.pop_back()) state[way.back()->id] = fine;
    if (loop) nodes_.remove_name(at->name.parent, std::string(at->name.text));
  }
}

void Overlay::restore_handles(Restored& all) {
  for (std::uint64_t number = 0; number < ledger_->handle_limit(); ++number) {
    const layout::Handle* record = ledger_->handle_at(number);
    if (!record) continue;
    Node* node = nodes_.find(record->node);
    if (!node || number == kNoHandle) {  // an older build gave that one out as well
      ledger_->drop_handle(number);
      continue;
    }
    auto file = std::make_shared<OpenFile>(nodes_, node);
    file->flags = record->access;
    handles_.restore(number, std::move(file));
    ++all.handles;
  }
}

// Who has no name left is reached by what was kept of him, and who is wanted by nobody goes.
void Overlay::settle_orphans(Kept& kept) {
  for (NodeId id = 2; id < ledger_->node_limit(); ++id) {
    Node* node = nodes_.find(id);
    const layout::Node* record = node ? ledger_->node_at(id) : nullptr;
    if (!record) continue;
    if (!node->name.parent) {
      node->gone = true;
      if (node->dir) node->dir->layers.clear();
      node->layer = record->layer;
      auto found = kept.find(kept_name(id, record->disk_ino));
      if (found != kept.end()) {
        node->orphan = std::move(found->second);
        node->kept = true;
        kept.erase(found);
        reconsider(node);
      }
    }
    nodes_.pin(node);
    nodes_.unpin(node);
  }
  if (drop_descriptor)
    for (const auto& [name, fd] : kept) drop_descriptor(name);
  kept.clear();
}

Overlay::Restored Overlay::restore(Kept kept) {
  Restored all;
  restore_nodes(all);
  restore_names();
  cut_loops();
  restore_handles(all);
  nodes_.restored();
  handles_.restored();
  if (stack_.writable) work_.clear();
  finish_change();
  settle_orphans(kept);
  nodes_.restored();
  return all;
}

}  // namespace fusefs
