// The change that was being made when the daemon before us died: did it happen, is it whole, what
// of it is still to be done? Each answer comes from the disk, and a second crash in the middle
// finds the same question. The ledger's names at the places concerned are set by the answer.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fusefs/merge.hpp"
#include "fusefs/overlay.hpp"

namespace fusefs {

namespace at = ring::at;

namespace {

std::string first_name(const layout::Intent& intent) {
  return std::string(intent.name, intent.length);
}

std::string second_name(const layout::Intent& intent) {
  return std::string(intent.new_name, intent.new_length);
}

}  // namespace

// A name at a place which the change concerns: what stands there is decided by finish_change.
bool Overlay::contested(const Ledger::FoundName& name) const {
  const layout::Intent& intent = ledger_->intent();
  if (intent.state == layout::Intent::kNone) return false;
  auto act = static_cast<Act>(intent.act);
  if (act != Act::link && act != Act::remove && act != Act::rename) return false;
  if (name.parent == intent.parent && name.text == first_name(intent)) return true;
  return act == Act::rename && name.parent == intent.new_parent && name.text == second_name(intent);
}

void Overlay::finish_change() {
  const layout::Intent intent = ledger_->intent();
  if (intent.state == layout::Intent::kNone) return;
  Verdict verdict = Verdict::none;
  switch (static_cast<Act>(intent.act)) {
    case Act::create: verdict = finish_create(intent); break;
    case Act::link: verdict = finish_link(intent); break;
    case Act::remove: verdict = finish_remove(intent); break;
    case Act::rename: verdict = finish_rename(intent); break;
    case Act::set_xattr:
    case Act::remove_xattr: verdict = Verdict::begun; break;
    case Act::release:
      handles_.remove(intent.handle);
      verdict = Verdict::done;
      break;
  }
  if (verdict != Verdict::none) ledger_->settle(intent.unique, verdict);
  ledger_->give_up();
}

void Overlay::stand(Node* node, Node* parent, const std::string& name) {
  if (!node || !parent || !parent->is_dir() || nodes_.find(parent, name)) return;
  if (node->is_dir() && node->name.parent) return;
  for (Node* at = parent; at; at = at->name.parent)
    if (at == node) return;  // no ledger of ours says so
  nodes_.add_name(node, parent, name);
}

// The upper layer's version of a directory that the change went through, or -1.
int Overlay::upper_fd(Node* parent) {
  if (!parent || !awaken(parent) || !in_upper(parent)) return -1;
  auto fd = dir_fd(parent, 0);
  return fd ? *fd : -1;
}

Verdict Overlay::finish_create(const layout::Intent& intent) {
  std::string name = first_name(intent);
  Node* parent = nodes_.find(intent.parent);
  int dir = upper_fd(parent);
  auto st = at::stat({dir, name});
  if (dir < 0 || !st || Merge::is_whiteout(*st)) return Verdict::none;
  bool whole = intent.state == layout::Intent::kWhole || intent.flags & Plan::kOverWhiteout;
  if (whole || nodes_.find(parent, name)) {
    drop_whiteout_file(parent, name);
    return Verdict::done;
  }
  // Made and not dressed: nobody has seen it, and it may have no owner yet.
  (void)WorkDir::remove_tree(dir, name);
  if (OwnerStore::is_special(st->st_mode))
    ::unlinkat(dir, OwnerStore::sidecar_name(name).c_str(), 0);
  return Verdict::none;
}

Verdict Overlay::finish_link(const layout::Intent& intent) {
  std::string name = first_name(intent);
  Node* parent = nodes_.find(intent.parent);
  Node* node = nodes_.find(intent.node);
  int dir = upper_fd(parent);
  auto st = at::stat({dir, name});
  if (dir < 0 || !st || st->st_ino != intent.ino) return Verdict::none;
  if (node && node->name.parent && OwnerStore::is_special(st->st_mode) && awaken(node)) {
    auto from = locate(node);
    if (from) share_sidecar(node, *from, parent, name);
  }
  drop_whiteout_file(parent, name);
  stand(node, parent, name);
  if (node) nodes_.index_inode(node, st->st_dev, st->st_ino);
  return Verdict::done;
}

Verdict Overlay::finish_remove(const layout::Intent& intent) {
  std::string name = first_name(intent);
  Node* parent = nodes_.find(intent.parent);
  bool removed = false;
  if (parent && awaken(parent)) {
    auto found = Merge(*this).entry(parent, name);
    removed = !found && found.error().value == ENOENT;
  }
  if (!removed) {
    stand(nodes_.find(intent.node), parent, name);
    return Verdict::none;
  }
  int dir = upper_fd(parent);
  if (dir >= 0) ::unlinkat(dir, OwnerStore::sidecar_name(name).c_str(), 0);
  return Verdict::done;
}

Verdict Overlay::finish_rename(const layout::Intent& intent) {
  std::string name = first_name(intent), new_name = second_name(intent);
  Node* parent = nodes_.find(intent.parent);
  Node* new_parent = nodes_.find(intent.new_parent);
  Node* node = nodes_.find(intent.node);
  Node* target = intent.target ? nodes_.find(intent.target) : nullptr;
  bool exchange = intent.flags & Plan::kExchange;
  int from = upper_fd(parent), to = upper_fd(new_parent);
  auto st = at::stat({to, new_name});
  if (from < 0 || to < 0 || !st || st->st_ino != intent.ino) {
    stand(node, parent, name);
    stand(target, new_parent, new_name);
    return Verdict::none;
  }
  auto left = at::stat({from, name});
  if (left && !exchange) {  // what the new name had was exchanged for it
    if (S_ISDIR(left->st_mode))
      (void)discard_upper_dir(parent, from, name, intent.flags & Plan::kCovered);
    else if (Merge::is_whiteout(*left) && !(intent.flags & Plan::kCovered))
      ::unlinkat(from, name.c_str(), 0);
  }
  drop_whiteout_file(new_parent, new_name);
  finish_sidecars(intent, parent, new_parent);
  stand(node, new_parent, new_name);
  if (exchange) stand(target, parent, name);
  return Verdict::done;
}

void Overlay::finish_sidecars(const layout::Intent& intent, Node* parent, Node* new_parent) {
  if (!(intent.flags & (Plan::kSpecial | Plan::kTargetSpecial))) return;
  std::string name = first_name(intent), new_name = second_name(intent);
  std::uint64_t here = sidecar_ino(parent, name), there = sidecar_ino(new_parent, new_name);
  bool untouched = here == intent.sidecar && there == intent.target_sidecar;
  if (intent.flags & Plan::kExchange) {
    if (untouched) swap_sidecars(parent, name, new_parent, new_name);
    return;
  }
  if (there && there == intent.target_sidecar) {
    auto to = dir_fd(new_parent, 0);
    if (to) ::unlinkat(*to, OwnerStore::sidecar_name(new_name).c_str(), 0);
  }
  if (here && here == intent.sidecar) move_sidecar(parent, name, new_parent, new_name);
}

}  // namespace fusefs
