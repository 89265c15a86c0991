#include "tests/model/tree.hpp"

#include <algorithm>
#include <array>
#include <sstream>

namespace model_test {
namespace {

using Kind = Operation::Kind;
constexpr std::array<const char*, 5> kind_names = {"file", "dir", "link", "fifo", "sock"};

std::string look_at(const InodePtr& inode) {
  std::ostringstream text;
  text << kind_names[static_cast<size_t>(inode->kind)] << ' ' << std::oct << inode->mode << std::dec
       << ' ' << inode->uid << ':' << inode->gid;
  if (!inode->is_dir()) text << " links " << inode->links << " size " << inode->content.size();
  return text.str();
}

/// user.* xattrs exist on files and directories only.
bool carries_xattrs(const InodePtr& inode) {
  return inode->kind == Inode::Kind::file || inode->is_dir();
}

}  // namespace

Tree::Tree() : root_(std::make_shared<Inode>()) {
  root_->kind = Inode::Kind::dir;
  root_->mode = 0755;
}

Tree::Place Tree::find(const std::string& path) const {
  Place place = {"", root_, "", root_};
  std::istringstream parts(path);
  for (std::string part; std::getline(parts, part, '/');) {
    if (!place.inode || place.inode->kind == Inode::Kind::link) return {"ENOENT", {}, {}, {}};
    if (!place.inode->is_dir()) return {"ENOTDIR", {}, {}, {}};
    place.dir = place.inode;
    place.name = part;
    const auto entry = place.dir->entries.find(part);
    place.inode = entry == place.dir->entries.end() ? nullptr : entry->second;
  }
  return place;
}

/// Whether `dir` is on the way to `path`, its parent directory included.
bool Tree::is_above(const InodePtr& dir, const std::string& path) const {
  InodePtr here = root_;
  std::istringstream parts(path);
  for (std::string part; std::getline(parts, part, '/');) {
    if (here == dir) return true;
    const auto entry = here->entries.find(part);
    if (entry == here->entries.end()) return false;
    here = entry->second;
  }
  return false;
}

std::string Tree::make(const Operation& op, Inode::Kind kind) {
  Place place = find(op.path);
  if (!place.error.empty()) return place.error;
  if (place.inode) return "EEXIST";
  auto inode = std::make_shared<Inode>();
  inode->kind = kind;
  inode->mode = kind == Inode::Kind::link ? 0777 : op.mode;
  if (kind == Inode::Kind::dir) inode->mode &= 01777;
  if (kind == Inode::Kind::link) inode->content = op.other;
  if ((place.dir->mode & 02000) != 0) {
    inode->gid = place.dir->gid;
    if (kind == Inode::Kind::dir) inode->mode |= 02000;
  }
  place.dir->entries[place.name] = inode;
  place.dir->mtime.reset();
  return "ok";
}

std::string Tree::write(const Operation& op) {
  Place place = find(op.path);
  if (!place.error.empty()) return place.error;
  if (!place.inode) return "ENOENT";
  if (place.inode->is_dir()) return "EISDIR";
  if (place.inode->kind == Inode::Kind::link) return "ELOOP";
  if (place.inode->kind != Inode::Kind::file) return "ENXIO";
  std::string& content = place.inode->content;
  if (op.kind == Kind::overwrite) content.clear();
  const size_t from = op.kind == Kind::write ? static_cast<size_t>(op.at) : content.size();
  if (!op.text.empty()) {
    if (content.size() < from + op.text.size()) content.resize(from + op.text.size(), '\0');
    content.replace(from, op.text.size(), op.text);
  }
  if (!op.text.empty() || op.kind == Kind::overwrite) place.inode->mtime.reset();
  return "ok";
}

std::string Tree::truncate(const Operation& op) {
  Place place = find(op.path);
  if (!place.error.empty()) return place.error;
  if (!place.inode || place.inode->kind == Inode::Kind::link) return "ENOENT";
  if (place.inode->is_dir()) return "EISDIR";
  if (place.inode->kind != Inode::Kind::file) return "EINVAL";
  place.inode->content.resize(static_cast<size_t>(op.at), '\0');
  place.inode->mtime.reset();
  return "ok";
}

std::string Tree::remove(const Operation& op) {
  Place place = find(op.path);
  if (!place.error.empty()) return place.error;
  if (!place.inode) return "ENOENT";
  if (op.kind == Kind::rmdir) {
    if (!place.inode->is_dir()) return "ENOTDIR";
    if (!place.inode->entries.empty()) return "ENOTEMPTY";
  } else {
    if (place.inode->is_dir()) return "EISDIR";
    --place.inode->links;
  }
  place.dir->entries.erase(place.name);
  place.dir->mtime.reset();
  return "ok";
}

/// The order of the refusals is that of the kernel's renameat2.
std::string Tree::rename(const Operation& op) {
  Place from = find(op.path);
  if (!from.error.empty()) return from.error;
  Place to = find(op.other);
  if (!to.error.empty()) return to.error;
  if (!from.inode) return "ENOENT";
  if (op.kind == Kind::noreplace && to.inode) return "EEXIST";
  if (op.kind == Kind::exchange && !to.inode) return "ENOENT";
  if (from.inode->is_dir() && is_above(from.inode, op.other)) return "EINVAL";
  if (to.inode && to.inode->is_dir() && is_above(to.inode, op.path)) {
    return op.kind == Kind::exchange ? "EINVAL" : "ENOTEMPTY";
  }
  if (from.inode == to.inode) return "ok";
  return move(op, from, to);
}

std::string Tree::move(const Operation& op, Place& from, Place& to) {
  if (op.kind == Kind::exchange) {
    std::swap(from.dir->entries[from.name], to.dir->entries[to.name]);
  } else {
    if (to.inode) {
      if (from.inode->is_dir() && !to.inode->is_dir()) return "ENOTDIR";
      if (!from.inode->is_dir() && to.inode->is_dir()) return "EISDIR";
      if (!to.inode->entries.empty()) return "ENOTEMPTY";
      --to.inode->links;
    }
    to.dir->entries[to.name] = from.inode;
    from.dir->entries.erase(from.name);
  }
  from.dir->mtime.reset();
  to.dir->mtime.reset();
  return "ok";
}

std::string Tree::link(const Operation& op) {
  Place from = find(op.path);
  if (!from.error.empty()) return from.error;
  if (!from.inode) return "ENOENT";
  Place to = find(op.other);
  if (!to.error.empty()) return to.error;
  if (to.inode) return "EEXIST";
  if (from.inode->is_dir()) return "EPERM";
  to.dir->entries[to.name] = from.inode;
  to.dir->mtime.reset();
  ++from.inode->links;
  return "ok";
}

/// What changes an inode and not the tree.
std::string Tree::change(const Operation& op) {
  Place place = find(op.path);
  if (!place.error.empty()) return place.error;
  if (!place.inode) return "ENOENT";
  Inode& inode = *place.inode;
  const bool file_or_dir = carries_xattrs(place.inode);
  switch (op.kind) {
    case Kind::chmod:
      if (inode.kind == Inode::Kind::link) return "ENOENT";
      inode.mode = op.mode;
      return "ok";
    case Kind::chown:
      inode.uid = op.uid;
      inode.gid = op.gid;
      if (!inode.is_dir()) inode.mode &= (inode.mode & 0010) != 0 ? ~06000U : ~04000U;
      return "ok";
    case Kind::utimens: inode.mtime = op.at; return "ok";
    case Kind::setxattr:
      if (!file_or_dir) return "EPERM";
      inode.xattrs[op.name] = op.text;
      return "ok";
    default:
      if (!file_or_dir) return "EPERM";
      return inode.xattrs.erase(op.name) != 0 ? "ok" : "ENODATA";
  }
}

std::string Tree::look(const Operation& op) const {
  const Place place = find(op.path);
  const std::string error = !place.error.empty() ? place.error : place.inode ? "" : "ENOENT";
  if (op.kind == Kind::read) {
    if (!error.empty()) return error;
    if (place.inode->kind == Inode::Kind::link) return "ELOOP";
    if (place.inode->kind == Inode::Kind::sock) return "ENXIO";
    return place.inode->is_dir() ? "EISDIR" : "[" + place.inode->content + "]";
  }
  if (!error.empty()) return "<" + error + ">";
  if (op.kind == Kind::stat) return look_at(place.inode);
  if (op.kind == Kind::readlink) {
    return place.inode->kind == Inode::Kind::link ? place.inode->content : "<EINVAL>";
  }
  if (op.kind == Kind::getxattr) {
    const auto value = place.inode->xattrs.find(op.name);
    return value == place.inode->xattrs.end() ? "<ENODATA>" : value->second;
  }
  if (place.inode->kind == Inode::Kind::link) return "<ENOENT>";
  if (!place.inode->is_dir()) return "<ENOTDIR>";
  std::string names;
  for (const auto& [name, inode] : place.inode->entries) names += (names.empty() ? "" : " ") + name;
  return names;
}

std::string Tree::apply(const Operation& op) {
  switch (op.kind) {
    case Kind::create: return make(op, Inode::Kind::file);
    case Kind::mkdir: return make(op, Inode::Kind::dir);
    case Kind::symlink: return make(op, Inode::Kind::link);
    case Kind::mkfifo: return make(op, Inode::Kind::fifo);
    case Kind::mksock: return make(op, Inode::Kind::sock);
    case Kind::write:
    case Kind::append:
    case Kind::overwrite: return write(op);
    case Kind::truncate: return truncate(op);
    case Kind::unlink:
    case Kind::rmdir: return remove(op);
    case Kind::rename:
    case Kind::noreplace:
    case Kind::exchange: return rename(op);
    case Kind::link: return link(op);
    case Kind::chmod:
    case Kind::chown:
    case Kind::utimens:
    case Kind::setxattr:
    case Kind::removexattr: return change(op);
    case Kind::read:
    case Kind::readdir:
    case Kind::getxattr:
    case Kind::stat:
    case Kind::readlink: return look(op);
    default: return "ok";
  }
}

namespace {
void describe_below(const Inode& dir, const std::string& prefix,
                    std::map<const Inode*, std::string>& first_names, std::ostringstream& text) {
  for (const auto& [name, inode] : dir.entries) {
    text << prefix << name << ' ' << look_at(inode);
    if (inode->kind == Inode::Kind::file) text << " [" << inode->content << "]";
    if (inode->kind == Inode::Kind::link) text << " -> " << inode->content;
    for (const auto& [xattr, value] : inode->xattrs) text << ' ' << xattr << '=' << value;
    if (inode->mtime) text << " time " << *inode->mtime;
    if (!inode->is_dir() && inode->links > 1) {
      text << " is " << first_names.emplace(inode.get(), prefix + name).first->second;
    }
    text << '\n';
    if (inode->is_dir()) describe_below(*inode, prefix + name + "/", first_names, text);
  }
}
}  // namespace

std::string Tree::describe() const {
  std::map<const Inode*, std::string> first_names;
  std::ostringstream text;
  describe_below(*root_, "", first_names, text);
  return text.str();
}

}  // namespace model_test
