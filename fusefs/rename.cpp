// Rename. A directory with lower versions keeps them by a redirect (or is copied up whole); a lower
// name left behind is covered in the same step; a lower name moved onto does not shine through.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "fusefs/merge.hpp"
#include "fusefs/overlay.hpp"

namespace fusefs {

namespace at = ring::at;

struct Overlay::Move {
  Node* parent;
  std::string name;
  Node* new_parent;
  std::string new_name;
  bool exchange;
  Node* node = nullptr;
  Node* target = nullptr;    // what stands at the new name, if anything
  bool covered = false;      // a lower layer has `name`
  bool new_covered = false;  // a lower layer has `new_name`
  bool special = false;      // the node's, then the target's owner may be in a sidecar
  bool target_special = false;
};

base::Result<> Overlay::check_move(Move& move) {
  if (!move.target) return move.exchange ? base::fail(ENOENT) : base::Result<>{base::Unit{}};
  if (move.exchange) return base::Unit{};
  bool onto_dir = move.target->is_dir();
  if (onto_dir && !move.node->is_dir()) return base::fail(EISDIR);
  if (!onto_dir && move.node->is_dir()) return base::fail(ENOTDIR);
  if (onto_dir) {
    TRY(empty, is_empty(move.target));
    if (!empty) return base::fail(ENOTEMPTY);
  }
  return base::Unit{};
}

// The lower versions stay where they are; from now on they are found by path, here and after a
// remount.
base::Result<> Overlay::set_redirect(Node* node) {
  // Said in the terms of all lower layers together: a layer in between may itself redirect.
  std::string redirect = path_in_lowers(node);
  if (redirect.size() > kRedirectMax) return base::fail(ENAMETOOLONG);
  TRY(where, locate(node));
  const char* key =
      stack_.opaque == OpaqueForm::trusted ? "trusted.overlay.redirect" : "user.overlay.redirect";
  TRY_VOID(at::set_xattr(where, key, redirect));
  node->dir->redirect = redirect;
  for (LayerDir& version : node->dir->layers)
    if (version.layer != 0 && !version.path)
      version.path = std::make_shared<std::string>(path_in_layer(node->name.parent, version.layer) +
                                                   node->name.text);
  return base::Unit{};
}

ring::Task<base::Result<>> Overlay::copy_up_tree(Node* dir) {
  CO_TRY_VOID(copy_up_dir(dir));
  CO_TRY(listing, list(dir));
  for (std::size_t i = 0; i < listing->size(); ++i) {
    std::string name(listing->name(listing->item(i)));
    auto entry = lookup(dir, name);
    if (!entry && entry.error().value == ENOENT) continue;
    if (!entry) co_return tl::make_unexpected(entry.error());
    Pin child(nodes_, entry->node);
    if (child->is_dir()) {
      CO_TRY_VOID(co_await copy_up_tree(child.get()));
    } else {
      CO_TRY_VOID(co_await copy_up(child.get()));
    }
  }
  if (dir->dir->layers.size() > 1) {
    CO_TRY(where, locate(dir));
    CO_TRY_VOID(mark_opaque(where));
    dirfds_.drop(*dir);
    dir->dir->layers.resize(1);
    dir->dir->redirect.clear();
  }
  co_return base::Unit{};
}

// A directory about to move: what lies below its new name must not merge into it.
base::Result<> Overlay::prepare_directory(Move&, Node* node, bool target_in_lower) {
  if (!node->is_dir()) return base::Unit{};
  if (node->dir->layers.size() > 1) return set_redirect(node);
  if (!target_in_lower) return base::Unit{};
  TRY(where, locate(node));
  return mark_opaque(where);
}

// The node is a directory and something physical (a whiteout, or an empty directory) is at the new
// name.
base::Result<> Overlay::execute_over_dir(Move& move) {
  TRY(from, dir_fd(move.parent, 0));
  TRY(to, dir_fd(move.new_parent, 0));
  TRY_VOID(base::check(
      ::renameat2(from, move.name.c_str(), to, move.new_name.c_str(), RENAME_EXCHANGE)));
  TRY(left, at::stat({from, move.name}));
  if (S_ISDIR(left.st_mode)) return discard_upper_dir(move.parent, from, move.name, move.covered);
  if (move.covered) return base::Unit{};  // the whiteout is just where one is wanted
  return base::check(::unlinkat(from, move.name.c_str(), 0));
}

base::Result<> Overlay::execute(Move& move) {
  TRY(from, dir_fd(move.parent, 0));
  TRY(to, dir_fd(move.new_parent, 0));
  const char* name = move.name.c_str();
  const char* new_name = move.new_name.c_str();
  if (move.exchange) return base::check(::renameat2(from, name, to, new_name, RENAME_EXCHANGE));
  bool occupied = at::stat({to, move.new_name}).has_value();
  if (move.node->is_dir() && occupied) return execute_over_dir(move);
  if (!move.covered) return base::check(::renameat(from, name, to, new_name));
  ++counters_.whiteouts;
  if (stack_.device_whiteouts) {
    if (::renameat2(from, name, to, new_name, RENAME_WHITEOUT) == 0) return base::Unit{};
    if (errno != EINVAL && errno != EPERM && errno != EOPNOTSUPP) return base::fail_errno();
  }
  TRY_VOID(make_whiteout_file(move.parent, move.name));
  return base::check(::renameat(from, name, to, new_name));
}

void Overlay::swap_sidecars(Node* parent, const std::string& name, Node* other,
                            const std::string& other_name) {
  auto from = dir_fd(parent, 0);
  auto to = dir_fd(other, 0);
  if (!from || !to) return;
  std::string a = OwnerStore::sidecar_name(name), b = OwnerStore::sidecar_name(other_name);
  if (::renameat2(*from, a.c_str(), *to, b.c_str(), RENAME_EXCHANGE) == 0) return;
  if (::renameat(*from, a.c_str(), *to, b.c_str()) == 0) return note_sidecar(other);
  if (::renameat(*to, b.c_str(), *from, a.c_str()) == 0) note_sidecar(parent);
}

std::uint64_t Overlay::sidecar_ino(Node* parent, const std::string& name) {
  auto dir = dir_fd(parent, 0);
  if (!dir) return 0;
  auto st = at::stat({*dir, OwnerStore::sidecar_name(name)});
  return st ? st->st_ino : 0;
}

// What tells a successor whether the rename has happened: the inodes at both names, and at those
// of the sidecars.
base::Result<> Overlay::announce(const Move& move, std::uint64_t unique, Plan& plan) {
  TRY(source, stat(move.node));
  plan = {.act = Act::rename,
          .unique = unique,
          .parent = move.parent->id,
          .new_parent = move.new_parent->id,
          .node = move.node->id,
          .target = move.target ? move.target->id : 0,
          .name = move.name,
          .new_name = move.new_name,
          .ino = source.st_ino};
  auto flag = [&](bool set, std::uint8_t bit) {
    if (set) plan.flags = static_cast<std::uint8_t>(plan.flags | bit);
  };
  flag(move.exchange, Plan::kExchange);
  flag(move.covered, Plan::kCovered);
  flag(move.special, Plan::kSpecial);
  flag(move.target_special, Plan::kTargetSpecial);
  if (move.special) plan.sidecar = sidecar_ino(move.parent, move.name);
  if (move.target_special) plan.target_sidecar = sidecar_ino(move.new_parent, move.new_name);
  return base::Unit{};
}

// The disk has changed: so do the tables.
void Overlay::settle(Move& move) {
  drop_whiteout_file(move.new_parent, move.new_name);
  if (move.exchange) {
    if (move.special || move.target_special)
      swap_sidecars(move.parent, move.name, move.new_parent, move.new_name);
    nodes_.exchange(move.parent, move.name, move.new_parent, move.new_name);
    return;
  }
  auto to = dir_fd(move.new_parent, 0);
  if (move.target_special && to)
    ::unlinkat(*to, OwnerStore::sidecar_name(move.new_name).c_str(), 0);
  if (move.special) move_sidecar(move.parent, move.name, move.new_parent, move.new_name);
  if (move.target) lose_name(move.target, move.new_parent, move.new_name);
  nodes_.rename(move.parent, move.name, move.new_parent, move.new_name);
}

base::Result<> Overlay::carry_out(Move& move, std::uint64_t unique) {
  Plan plan;
  if (ledger_) TRY_VOID(announce(move, unique, plan));
  Change change(ledger_, plan);
  TRY_VOID(execute(move));
  change.happened();
  settle(move);
  return base::Unit{};
}

ring::Task<base::Result<>> Overlay::rename(Node* parent, std::string name, Node* new_parent,
                                           std::string new_name, unsigned flags,
                                           std::uint64_t unique) {
  CO_TRY_VOID(check_name(name));
  CO_TRY_VOID(check_name(new_name));
  if (new_name.starts_with(kWhiteoutPrefix)) co_return base::fail(EINVAL);
  if (flags & ~static_cast<unsigned>(RENAME_NOREPLACE | RENAME_EXCHANGE))
    co_return base::fail(EINVAL);
  Move move{parent, name, new_parent, new_name, (flags & RENAME_EXCHANGE) != 0};
  CO_TRY(source, lookup(parent, name));
  Pin node(nodes_, source.node);
  move.node = source.node;
  auto found = lookup(new_parent, new_name);
  if (!found && found.error().value != ENOENT) co_return tl::make_unexpected(found.error());
  std::optional<Pin> target;
  if (found) {
    if (flags & RENAME_NOREPLACE) co_return base::fail(EEXIST);
    target.emplace(nodes_, found->node);
    move.target = found->node;
    move.target_special = OwnerStore::is_special(found->st.st_mode);
  }
  move.special = OwnerStore::is_special(source.st.st_mode);
  if (move.node == move.target) co_return base::Unit{};
  CO_TRY_VOID(check_move(move));
  bool whole_tree = move.node->is_dir() && move.node->dir->layers.size() > 1 && !options_.redirect;
  if (whole_tree) CO_TRY_VOID(co_await copy_up_tree(move.node));
  if (!in_upper(move.node)) CO_TRY_VOID(co_await copy_up(move.node));
  if (move.exchange && !in_upper(move.target)) CO_TRY_VOID(co_await copy_up(move.target));
  // The kernel locks both directories during a rename; who nevertheless changed them gets an error.
  if (nodes_.find(parent, name) != move.node || nodes_.find(new_parent, new_name) != move.target)
    co_return base::fail(ESTALE);
  CO_TRY_VOID(ensure_upper(parent));
  CO_TRY_VOID(ensure_upper(new_parent));
  CO_TRY(covered, lower_has(parent, name));
  CO_TRY(new_covered, lower_has(new_parent, new_name));
  move.covered = covered;
  move.new_covered = new_covered;
  auto ready = prepare_directory(move, move.node, move.new_covered);
  if (!ready && move.node->is_dir() && move.node->dir->layers.size() > 1) {
    CO_TRY_VOID(co_await copy_up_tree(move.node));  // no room for a redirect: the long way
    if (nodes_.find(parent, name) != move.node || nodes_.find(new_parent, new_name) != move.target)
      co_return base::fail(ESTALE);
    ready = prepare_directory(move, move.node, move.new_covered);
  }
  if (ready && move.exchange) ready = prepare_directory(move, move.target, move.covered);
  if (!ready) co_return ready;
  if (move.target && !move.exchange && move.target->lookups > 0)
    CO_TRY_VOID(keep_orphan(move.target));
  co_return carry_out(move, unique);
}

}  // namespace fusefs
