// Removal: a name goes in one step that is atomic on disk; what a lower layer has is covered in
// that same step.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fusefs/merge.hpp"
#include "fusefs/overlay.hpp"

namespace fusefs {

namespace at = ring::at;

// A file may outlive its last name: whoever has it open, or as working directory, reaches it by
// descriptor.
base::Result<> Overlay::keep_orphan(Node* node) {
  if (!node->orphan.valid() && node->is_dir()) node->orphan = dirfds_.take(node->id, node->layer);
  if (!node->orphan.valid()) {
    TRY(where, locate(node));
    TRY(fd, at::open(where, O_PATH));
    node->orphan = std::move(fd);
  }
  bool last = !node->file || node->file->names.empty();
  const bool unasked = opens_unasked && node->type == identity::NodeType::file;
  if (last && (unasked || is_open(*node))) keep_descriptor_of(node);
  return base::Unit{};
}

void Overlay::lose_name(Node* node, Node* parent, std::string_view name) {
  nodes_.pin(node);
  if (node->is_dir()) dirfds_.drop(*node);
  bool last = !node->file || node->file->names.empty();
  nodes_.remove_name(parent, name);
  if (last) {
    node->gone = true;
    node->unlinked = true;
    if (node->dir) node->dir->layers.clear();
  } else {
    lose_orphan(node);
  }
  nodes_.unpin(node);
}

// Puts a whiteout at `name` of the upper directory. `exists`: in the place of what is there (not a
// directory).
base::Result<> Overlay::whiteout_over(Node* parent, int dir, const std::string& name, bool exists) {
  ++counters_.whiteouts;
  if (stack_.device_whiteouts) {
    if (!exists) return base::check(::mknodat(dir, name.c_str(), S_IFCHR, makedev(0, 0)));
    std::string temporary = work_.fresh();
    TRY_VOID(base::check(::mknodat(work_.fd(), temporary.c_str(), S_IFCHR, makedev(0, 0))));
    auto placed = base::check(::renameat(work_.fd(), temporary.c_str(), dir, name.c_str()));
    if (!placed) ::unlinkat(work_.fd(), temporary.c_str(), 0);
    return placed;
  }
  TRY_VOID(make_whiteout_file(parent, name));
  return exists ? base::check(::unlinkat(dir, name.c_str(), 0)) : base::Result<>{base::Unit{}};
}

base::Result<> Overlay::unlink(Node* parent, std::string_view name_view) {
  TRY_VOID(check_name(name_view));
  Node* known = nodes_.find(parent, name_view);
  if (!known) {
    TRY(entry, lookup(parent, name_view));
    known = entry.node;
  }
  Pin node(nodes_, known);
  TRY_VOID(awaken(known));
  if (node->is_dir()) return base::fail(EISDIR);
  bool upper = in_upper(known);
  bool covered = !upper;
  if (upper) {
    TRY(lower, lower_has(parent, name_view));
    covered = lower;
  }
  TRY_VOID(ensure_upper(parent));
  if (node->lookups > 0) TRY_VOID(keep_orphan(known));
  TRY(dir, dir_fd(parent, 0));
  std::string name(name_view);
  Change change(ledger_, {.act = Act::remove,
                          .unique = request_now(),
                          .parent = parent->id,
                          .node = known->id,
                          .name = name});
  if (covered) {
    TRY_VOID(whiteout_over(parent, dir, name, upper));
  } else {
    TRY_VOID(base::check(::unlinkat(dir, name.c_str(), 0)));
  }
  change.happened();
  if (upper && node->type != identity::NodeType::file && parent->in_layer(0)->hidden.sidecars)
    ::unlinkat(dir, OwnerStore::sidecar_name(name).c_str(), 0);
  lose_name(known, parent, name);
  return base::Unit{};
}

base::Result<bool> Overlay::is_empty(Node* dir) {
  TRY(listing, list(dir));
  return listing->size() == 0;
}

// Takes an upper directory (empty but for whiteouts) away, and leaves a whiteout in its place if
// asked to.
base::Result<> Overlay::discard_upper_dir(Node* parent, int dir, const std::string& name,
                                          bool whiteout) {
  if (!whiteout && ::unlinkat(dir, name.c_str(), AT_REMOVEDIR) == 0) return base::Unit{};
  if (!whiteout && errno != ENOTEMPTY && errno != EEXIST) return base::fail_errno();
  std::string temporary = work_.fresh();
  if (whiteout && stack_.device_whiteouts) {
    TRY_VOID(base::check(::mknodat(work_.fd(), temporary.c_str(), S_IFCHR, makedev(0, 0))));
    auto swapped =
        base::check(::renameat2(work_.fd(), temporary.c_str(), dir, name.c_str(), RENAME_EXCHANGE));
    if (!swapped) {
      ::unlinkat(work_.fd(), temporary.c_str(), 0);
      return swapped;
    }
  } else {
    if (whiteout) TRY_VOID(make_whiteout_file(parent, name));
    TRY_VOID(base::check(::renameat(dir, name.c_str(), work_.fd(), temporary.c_str())));
  }
  // From here on the name is gone for everybody; leftovers in work are removed by the next mount.
  (void)WorkDir::remove_tree(work_.fd(), temporary);
  return base::Unit{};
}

// An upper directory which covers nothing, and may be full.
base::Result<> Overlay::discard_lone_dir(Node* node, Node* parent, const std::string& name) {
  TRY(dir, dir_fd(parent, 0));
  if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) == 0) return base::Unit{};
  auto empty = is_empty(node);
  if (!empty || !*empty) {
    lose_orphan(node);  // it stays
    return empty ? base::fail(ENOTEMPTY) : tl::make_unexpected(empty.error());
  }
  TRY(again, dir_fd(parent, 0));  // the listing may have taken its place
  return discard_upper_dir(parent, again, name, false);
}

base::Result<> Overlay::rmdir(Node* parent, std::string_view name_view) {
  TRY_VOID(check_name(name_view));
  TRY(entry, lookup(parent, name_view));
  Pin node(nodes_, entry.node);
  if (!node->is_dir()) return base::fail(ENOTDIR);
  TRY(covered, lower_has(parent, name_view));
  // One that is in the upper layer alone is mostly empty there as well, and the disk knows.
  const bool alone = !covered && in_upper(node.get()) && node->dir && node->dir->layers.size() == 1;
  if (!alone) {
    TRY(empty, is_empty(node.get()));
    if (!empty) return base::fail(ENOTEMPTY);
  }
  TRY_VOID(ensure_upper(parent));
  if (node->lookups > 0) TRY_VOID(keep_orphan(node.get()));
  TRY(dir, dir_fd(parent, 0));
  std::string name(name_view);
  Change change(ledger_, {.act = Act::remove,
                          .unique = request_now(),
                          .parent = parent->id,
                          .node = node->id,
                          .name = name});
  if (alone) {
    TRY_VOID(discard_lone_dir(node.get(), parent, name));
  } else if (node->layer == 0) {
    TRY_VOID(discard_upper_dir(parent, dir, name, covered));
  } else if (covered) {
    TRY_VOID(whiteout_over(parent, dir, name, false));
  }
  change.happened();
  lose_name(node.get(), parent, name);
  return base::Unit{};
}

}  // namespace fusefs
