// Creation: every new name is made whole - record, owner, mode - and then seen, or not seen at all.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fusefs/directory_times.hpp"
#include "fusefs/merge.hpp"
#include "fusefs/overlay.hpp"

namespace fusefs {

namespace at = ring::at;

base::Result<> Overlay::ensure_upper(Node* dir) {
  if (!stack_.writable) return base::fail(EROFS);
  TRY_VOID(awaken(dir));
  if (dir->gone || !dir->dir) return base::fail(dir->dir ? ENOENT : ENOTDIR);
  if (dir->layer == 0) return base::Unit{};
  return copy_up_dir(dir);
}

Owner Overlay::new_owner(const Node& parent, const Caller& caller) const {
  return {caller.owner.uid, parent.setgid_dir ? parent.gid : caller.owner.gid};
}

// As kernels since 6.0 have it: whoever is not of the directory's group makes no program of it.
mode_t Overlay::new_mode(const Node& parent, const NewFile& what, const Caller& caller) const {
  mode_t mode = parent.default_acl ? what.mode : what.mode & ~what.umask;
  constexpr mode_t kGroupProgram = S_ISGID | S_IXGRP;
  if (!parent.setgid_dir) return mode;
  if (S_ISDIR(mode)) return mode | S_ISGID;
  if ((what.mode & kGroupProgram) == kGroupProgram && !in_group(parent, caller))
    mode &= ~static_cast<mode_t>(S_ISGID);
  return mode;
}

// One object of any type at a free name. Set-id bits come last, in dress().
base::Result<> Overlay::make_at(const at::Where& where, const NewFile& what, mode_t mode,
                                base::Fd* opened) {
  const char* name = where.name.c_str();
  mode_t bits = mode & 0777;
  switch (mode & S_IFMT) {
    case S_IFDIR: return base::check(::mkdirat(where.dir, name, bits | (mode & S_ISVTX)));
    case S_IFLNK: return base::check(::symlinkat(what.target.c_str(), where.dir, name));
    case S_IFREG: {
      TRY(fd, at::open(where, O_RDWR | O_CREAT | O_EXCL, bits | (mode & S_ISVTX)));
      if (opened) *opened = std::move(fd);
      return base::Unit{};
    }
    default:
      return base::check(
          ::mknodat(where.dir, name, (mode & S_IFMT) | bits | (mode & S_ISVTX), what.rdev));
  }
}

// Record, owner and set-id bits of an object that was just made by us, in that order: chown drops
// the bits.
base::Result<struct stat> Overlay::dress(const at::Where& where, const NewFile& what, mode_t mode,
                                         Owner owner) {
  TRY(st, at::stat(where));
  if (what.device) TRY_VOID(owners_.write_device(where, *what.device));
  Owner disk = owners_.on_disk(owner);
  bool chown = disk != Owner{st.st_uid, st.st_gid};
  if (chown || owners_.needs_record(owner))
    TRY_VOID(owners_.write(where, st.st_mode, owner, false));
  bool set_ids = (mode & (S_ISUID | S_ISGID)) != (st.st_mode & (S_ISUID | S_ISGID));
  bool chmod = !S_ISLNK(mode) && (set_ids || (chown && (mode & (S_ISUID | S_ISGID))));
  if (chmod) TRY_VOID(at::chmod(where, (st.st_mode & 01777) | (mode & (S_ISUID | S_ISGID))));
  if (!chown && !chmod) return st;
  return at::stat(where);
}

// A whiteout stands at the name: the object is made in work and renamed over it, so that no lower
// file shows through in between.
base::Result<> Overlay::make_over_whiteout(Node* parent, int dir, const std::string& name,
                                           const NewFile& what, mode_t mode, Owner owner,
                                           base::Fd* opened) {
  std::string temporary = work_.fresh();
  std::string nest;
  int base = work_.fd();
  base::Fd nest_fd;
  if (parent->default_acl) {  // inherited from the directory in which a file is made: make it one
    nest = work_.fresh();
    TRY_VOID(base::check(::mkdirat(base, nest.c_str(), 0700)));
    TRY(acl, at::get_xattr({dir, "."}, "system.posix_acl_default", 65536));
    TRY_VOID(at::set_xattr({base, nest}, "system.posix_acl_default", acl));
    TRY(fd, at::open({base, nest}, O_PATH | O_DIRECTORY));
    nest_fd = std::move(fd);
    base = nest_fd.get();
  }
  at::Where where{base, temporary};
  auto finish = [&]() -> base::Result<> {
    TRY_VOID(make_at(where, what, mode, opened));
    TRY(st, dress(where, what, mode, owner));
    (void)st;
    if (!S_ISDIR(mode)) {
      if (OwnerStore::is_special(mode)) {
        // The sidecar goes first; without its entry it is not believed.
        (void)::renameat(base, OwnerStore::sidecar_name(temporary).c_str(), dir,
                         OwnerStore::sidecar_name(name).c_str());
        note_sidecar(parent);
      }
      return base::check(::renameat(base, temporary.c_str(), dir, name.c_str()));
    }
    TRY_VOID(mark_opaque(where));
    TRY_VOID(base::check(::renameat2(base, temporary.c_str(), dir, name.c_str(), RENAME_EXCHANGE)));
    return base::check(::unlinkat(base, temporary.c_str(), 0));
  };
  auto result = finish();
  if (!result) (void)WorkDir::remove_tree(base, temporary);
  if (!nest.empty()) ::unlinkat(work_.fd(), nest.c_str(), AT_REMOVEDIR);
  return result;
}

Entry Overlay::register_new(Node* parent, std::string_view name, const struct stat& st, Owner owner,
                            const NewFile& what) {
  Node* node = nodes_.create(parent, name);
  node->layer = 0;
  node->ino = present_ino(0, st.st_ino);
  Facts facts;
  facts.owner = owner;
  facts.visible_xattrs = parent->default_acl || OwnerStore::is_special(st.st_mode);
  facts.default_acl = parent->default_acl && S_ISDIR(st.st_mode);
  facts.device = what.device;
  take_facts(node, st, facts);
  if (S_ISDIR(st.st_mode)) {
    node->dir = std::make_unique<DirPart>();
    LayerDir version;
    version.hidden.state =
        stack_.opaque == OpaqueForm::file ? HiddenNames::State::unknown : HiddenNames::State::none;
    node->dir->layers.push_back(std::move(version));
  }
  nodes_.describe(*node);
  if (OwnerStore::is_special(st.st_mode) && owners_.needs_record(owner)) note_sidecar(parent);
  return Entry{node, st};
}

base::Result<Entry> Overlay::create(Node* parent, std::string_view name_view, const NewFile& what,
                                    const Caller& caller, base::Fd* opened) {
  TRY_VOID(check_name(name_view));
  if (name_view.starts_with(kWhiteoutPrefix)) return base::fail(EINVAL);
  if (S_ISCHR(what.mode) && what.rdev == 0) return base::fail(EPERM);  // it would be a whiteout
  if (nodes_.find(parent, name_view)) return base::fail(EEXIST);
  TRY_VOID(ensure_upper(parent));
  TRY(dir, dir_fd(parent, 0));
  std::string name(name_view);
  Owner owner = new_owner(*parent, caller);
  mode_t mode = new_mode(*parent, what, caller);
  bool hidden = hides(parent, *parent->in_layer(0), name);
  // Asked before anything is announced: what a successor finds at the name is then ours.
  auto there = at::stat({dir, name});
  if (there && !Merge::is_whiteout(*there)) return base::fail(EEXIST);
  if (!there && there.error().value != ENOENT) return tl::make_unexpected(there.error());
  Change change(ledger_, {.act = Act::create,
                          .unique = request_now(),
                          .flags = there ? Plan::kOverWhiteout : std::uint8_t{0},
                          .parent = parent->id,
                          .name = name});
  if (!there) {
    TRY_VOID(make_at({dir, name}, what, mode, opened));
    auto dressed = dress({dir, name}, what, mode, owner);
    if (dressed && hidden && S_ISDIR(mode)) {
      if (auto marked = mark_opaque({dir, name}); !marked)
        dressed = tl::make_unexpected(marked.error());
    }
    if (!dressed) {
      (void)WorkDir::remove_tree(dir, name);
      return tl::make_unexpected(dressed.error());
    }
    change.happened();
    if (hidden) drop_whiteout_file(parent, name);
    return register_new(parent, name, *dressed, owner, what);
  }
  TRY_VOID(make_over_whiteout(parent, dir, name, what, mode, owner, opened));
  change.happened();
  if (hidden) drop_whiteout_file(parent, name);
  TRY(st, at::stat({dir, name}));
  return register_new(parent, name, st, owner, what);
}

base::Result<Entry> Overlay::create_unnamed(Node* parent, const NewFile& what, const Caller& caller,
                                            base::Fd* opened) {
  TRY_VOID(ensure_upper(parent));
  TRY(dir, dir_fd(parent, 0));
  Owner owner = new_owner(*parent, caller);
  mode_t mode = new_mode(*parent, what, caller);
  TRY(fd, at::open({dir, "."}, O_TMPFILE | O_RDWR, mode & 01777));
  at::Where where = at::by_fd(fd.get());
  TRY(st, dress(where, what, mode, owner));
  int again = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3);
  if (again < 0) return base::fail_errno();
  Node* node = nodes_.create(nullptr, {});
  node->gone = true;
  node->orphan = base::Fd(again);
  node->layer = 0;
  node->ino = present_ino(0, st.st_ino);
  Facts facts;
  facts.owner = owner;
  facts.visible_xattrs = parent->default_acl;
  take_facts(node, st, facts);
  nodes_.describe(*node);
  keep_descriptor_of(node);
  *opened = std::move(fd);
  return Entry{node, st};
}

base::Result<> Overlay::link_over_whiteout(const at::Where& from, int dir,
                                           const std::string& name) {
  std::string temporary = work_.fresh();
  TRY_VOID(base::check(::linkat(from.dir, from.name.c_str(), work_.fd(), temporary.c_str(),
                                from.magic ? AT_SYMLINK_FOLLOW : 0)));
  auto placed = base::check(::renameat(work_.fd(), temporary.c_str(), dir, name.c_str()));
  if (!placed) ::unlinkat(work_.fd(), temporary.c_str(), 0);
  return placed;
}

// Names of one inode share a sidecar, which is made now if none was needed: else a later chown by
// one name would not be known by the other.
void Overlay::share_sidecar(Node* node, const at::Where& from, Node* parent,
                            const std::string& name) {
  auto dir = dir_fd(parent, 0);
  if (!dir) return;
  {
    DirectoryTimes unchanged(from.dir);
    if (!owners_.ensure_sidecar(from, {node->uid, node->gid})) return;
  }
  note_sidecar(node->name.parent);
  if (::linkat(from.dir, OwnerStore::sidecar_name(from.name).c_str(), *dir,
               OwnerStore::sidecar_name(name).c_str(), 0) == 0)
    note_sidecar(parent);
}

ring::Task<base::Result<Entry>> Overlay::link(Node* node, Node* parent, std::string name,
                                              std::uint64_t unique) {
  CO_TRY_VOID(check_name(name));
  if (name.starts_with(kWhiteoutPrefix)) co_return base::fail(EINVAL);
  if (node->is_dir()) co_return base::fail(EPERM);
  if (nodes_.find(parent, name)) co_return base::fail(EEXIST);
  if (!in_upper(node)) CO_TRY_VOID(co_await copy_up(node));
  if (nodes_.find(parent, name)) co_return base::fail(EEXIST);  // made while we copied
  CO_TRY_VOID(ensure_upper(parent));
  CO_TRY(from, locate(node));
  CO_TRY(dir, dir_fd(parent, 0));
  auto there = at::stat({dir, name});
  if (there && !Merge::is_whiteout(*there)) co_return base::fail(EEXIST);
  CO_TRY(source, stat(node));
  Change change(ledger_, {.act = Act::link,
                          .unique = unique,
                          .parent = parent->id,
                          .node = node->id,
                          .name = name,
                          .ino = source.st_ino});
  auto linked = there ? link_over_whiteout(from, dir, name)
                      : base::check(::linkat(from.dir, from.name.c_str(), dir, name.c_str(),
                                             from.magic ? AT_SYMLINK_FOLLOW : 0));
  if (!linked) co_return tl::make_unexpected(linked.error());
  change.happened();
  CO_TRY(st, at::stat({dir, name}));
  if (OwnerStore::is_special(st.st_mode) && !from.magic) share_sidecar(node, from, parent, name);
  drop_whiteout_file(parent, name);
  nodes_.add_name(node, parent, name);
  lose_orphan(node);
  nodes_.index_inode(node, st.st_dev, st.st_ino);
  co_return Entry{node, st};
}

}  // namespace fusefs
