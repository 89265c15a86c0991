#include "tests/model/layers.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <sstream>

#include "tests/kernel/files.hpp"

namespace model_test {
namespace {

using Entry = Layers::Entry;
using kernel_test::set_xattr;

std::string octal(mode_t mode) {
  std::ostringstream text;
  text << std::oct << mode;
  return text.str();
}

InodePtr random_inode(Random& random, int depth) {
  static const std::array<mode_t, 6> modes = {0644, 0755, 0600, 0777, 02755, 01777};
  auto inode = std::make_shared<Inode>();
  const int kind = pick(random, 10);
  inode->kind = kind < 4 && depth < 3 ? Inode::Kind::dir
                : kind < 8            ? Inode::Kind::file
                : kind == 8           ? Inode::Kind::link
                                      : Inode::Kind::fifo;
  inode->mode = modes[static_cast<size_t>(pick(random, 6))];
  inode->uid = random_id(random);
  inode->gid = random_id(random);
  if (inode->kind == Inode::Kind::file) inode->content = random_text(random);
  if (inode->kind == Inode::Kind::link) {
    inode->content = "nowhere";
    inode->mode = 0777;
  }
  if (pick(random, 4) == 0 && inode->kind != Inode::Kind::link) {
    inode->mtime = 1000000 + pick(random, 1000);
  }
  const bool carries = inode->is_dir() || inode->kind == Inode::Kind::file;
  if (carries && pick(random, 4) == 0) inode->xattrs["user.x"] = "layer";
  return inode;
}

Entry random_directory(Random& random, int depth);

Entry random_entry(Random& random, int depth) {
  Entry entry;
  const int what = pick(random, 12);
  if (what == 0) entry.what = Entry::What::whiteout_device;
  if (what == 1) entry.what = Entry::What::whiteout_file;
  if (entry.what != Entry::What::object) return entry;
  const InodePtr inode = random_inode(random, depth);
  if (inode->is_dir()) entry = random_directory(random, depth);
  entry.inode = inode;
  const bool carries = inode->is_dir() || inode->kind == Inode::Kind::file;
  if (carries) entry.owner = static_cast<Entry::Owner>(pick(random, 3));
  return entry;
}

Entry random_directory(Random& random, int depth) {
  Entry dir;
  for (const std::string name : {"a", "b", "c", "d", "e"}) {
    if (pick(random, 2) == 0) dir.entries[name] = random_entry(random, depth + 1);
  }
  if (pick(random, 6) == 0) dir.opaque = static_cast<Entry::Opaque>(1 + pick(random, 4));
  return dir;
}

void write_opaque(const std::string& path, Entry::Opaque opaque) {
  switch (opaque) {
    case Entry::Opaque::no: break;
    case Entry::Opaque::file: kernel_test::write_file(path + "/.wh..wh..opq", ""); break;
    case Entry::Opaque::trusted: set_xattr(path, "trusted.overlay.opaque", "y"); break;
    case Entry::Opaque::user: set_xattr(path, "user.overlay.opaque", "y"); break;
    case Entry::Opaque::fuse: set_xattr(path, "user.fuseoverlayfs.opaque", "y"); break;
  }
}

void write_owner(const std::string& path, const Entry& entry) {
  const Inode& inode = *entry.inode;
  const bool link = inode.kind == Inode::Kind::link;
  const bool plain = entry.owner == Entry::Owner::plain;
  kernel_test::own(path, plain ? inode.uid : 1, plain ? inode.gid : 2);
  if (!link) chmod(path.c_str(), inode.mode);
  if (entry.owner == Entry::Owner::record) {
    set_xattr(path, "user.usernetes.uid", std::to_string(inode.uid));
    set_xattr(path, "user.usernetes.gid", std::to_string(inode.gid));
  }
  if (entry.owner == Entry::Owner::override_stat) {
    chmod(path.c_str(), 0700);
    set_xattr(
        path, "user.containers.override_stat",
        std::to_string(inode.uid) + ":" + std::to_string(inode.gid) + ":0" + octal(inode.mode));
  }
}

void write_below(const Entry& dir, const std::string& path);

void write_entry(const Entry& entry, const std::string& dir, const std::string& name) {
  const std::string path = dir + "/" + name;
  if (entry.what == Entry::What::whiteout_device) {
    mknod(path.c_str(), S_IFCHR, makedev(0, 0));
    return;
  }
  if (entry.what == Entry::What::whiteout_file) {
    kernel_test::write_file(dir + "/.wh." + name, "");
    return;
  }
  const Inode& inode = *entry.inode;
  switch (inode.kind) {
    case Inode::Kind::file: kernel_test::write_file(path, inode.content); break;
    case Inode::Kind::dir: kernel_test::make_dir(path); break;
    case Inode::Kind::link: kernel_test::make_link(inode.content, path); break;
    default: mknod(path.c_str(), S_IFIFO | 0600, 0); break;
  }
  for (const auto& [xattr, value] : inode.xattrs) set_xattr(path, xattr, value);
  if (inode.is_dir()) write_below(entry, path);
  write_owner(path, entry);
  if (inode.mtime) {
    const timespec both[2] = {{*inode.mtime, 0}, {*inode.mtime, 0}};
    utimensat(AT_FDCWD, path.c_str(), both, AT_SYMLINK_NOFOLLOW);
  }
}

void write_below(const Entry& dir, const std::string& path) {
  for (const auto& [name, entry] : dir.entries) write_entry(entry, path, name);
  write_opaque(path, dir.opaque);
}

/// Merges directories of several layers, the first on top, into `result`.
void merge_into(const std::vector<const Entry*>& dirs, Inode& result) {
  for (const std::string name : {"a", "b", "c", "d", "e"}) {
    std::vector<const Entry*> found;
    for (const Entry* dir : dirs) {
      const auto entry = dir->entries.find(name);
      if (entry != dir->entries.end()) {
        const bool object = entry->second.what == Entry::What::object;
        const bool is_dir = object && entry->second.inode->is_dir();
        if (object && (found.empty() || is_dir)) found.push_back(&entry->second);
        if (!is_dir || entry->second.opaque != Entry::Opaque::no) break;
      }
      if (dir->opaque != Entry::Opaque::no) break;
    }
    if (found.empty()) continue;
    auto inode = std::make_shared<Inode>(*found.front()->inode);
    if (inode->is_dir()) merge_into(found, *inode);
    result.entries[name] = inode;
  }
}

}  // namespace

Layers::Layers(Random& random, int count) {
  for (int i = 0; i < count; ++i) {
    roots_.push_back(random_directory(random, 0));
    roots_.back().opaque = Entry::Opaque::no;
  }
}

void Layers::write(int index, const std::string& dir) const {
  write_below(roots_[static_cast<size_t>(index)], dir);
}

Tree Layers::merged() const {
  std::vector<const Entry*> dirs;
  for (const auto& root : roots_) dirs.push_back(&root);
  auto root = std::make_shared<Inode>();
  root->kind = Inode::Kind::dir;
  root->mode = 0755;
  merge_into(dirs, *root);
  return Tree(root);
}

}  // namespace model_test
