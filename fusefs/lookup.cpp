// Look-up: from (parent, name) to a node, and from a node to where its top version lies.
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "fusefs/merge.hpp"
#include "fusefs/overlay.hpp"

namespace fusefs {

namespace at = ring::at;
using identity::NodeType;

namespace {

NodeType type_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR: return NodeType::dir;
    case S_IFLNK: return NodeType::symlink;
    case S_IFIFO: return NodeType::fifo;
    case S_IFSOCK: return NodeType::socket;
    case S_IFBLK: return NodeType::block;
    case S_IFCHR: return NodeType::chr;
    default: return NodeType::file;
  }
}

mode_t format_of(NodeType type) {
  switch (type) {
    case NodeType::dir: return S_IFDIR;
    case NodeType::symlink: return S_IFLNK;
    case NodeType::fifo: return S_IFIFO;
    case NodeType::socket: return S_IFSOCK;
    case NodeType::block: return S_IFBLK;
    case NodeType::chr: return S_IFCHR;
    default: return S_IFREG;
  }
}

}  // namespace

Overlay::Overlay(LayerStack stack, IdMapper uids, IdMapper gids, OverlayOptions options,
                 ring::Reactor& reactor)
    : stack_(std::move(stack)),
      uids_(std::move(uids)),
      gids_(std::move(gids)),
      options_(options),
      owners_(uids_, gids_),
      dirfds_(options.dirfd_cache),
      work_(stack_.work.get()),
      io_(reactor, options.io) {
  nodes_.on_death([this](Node& node) {
    dirfds_.drop(node);
    listings_.drop(node.id);
    if (node.kept) lose_orphan(&node);
  });
  Node* root = nodes_.root();
  if (auto found = Merge(*this).root()) {
    root->layer = 0;
    root->ino = present_ino(0, found->st.st_ino);
    root->dir->layers = std::move(found->versions);
    take_facts(root, found->st, found->facts);
  }
}

base::Result<> Overlay::check_name(std::string_view name) const {
  if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos)
    return base::fail(EINVAL);
  if (name.size() > 255) return base::fail(ENAMETOOLONG);
  return base::Unit{};
}

std::uint64_t Overlay::present_ino(LayerIndex layer, ino_t ino) const {
  std::uint64_t shown = ino;
  std::uint64_t device = stack_.layers[layer].device_index;
  if (device && options_.xino != XinoMode::off) {
    // The top byte tells the file system; numbers that need it themselves are mixed instead.
    shown = ino >> 56 ? ino * 0x9E3779B97F4A7C15ull ^ device << 56 : ino | device << 56;
  }
  if (options_.ino32) shown = (shown ^ shown >> 32) & 0xFFFFFFFF;
  return shown ? shown : 1;
}

void Overlay::take_facts(Node* node, const struct stat& st, const Facts& facts) {
  node->uid = facts.owner.uid;
  node->gid = facts.owner.gid;
  node->no_xattrs = !facts.visible_xattrs;
  node->default_acl = facts.default_acl;
  node->type = type_of(st.st_mode);
  node->has_override = false;
  if (facts.override_stat) {
    const auto& over = *facts.override_stat;
    node->has_override = true;
    node->override_mode = static_cast<std::uint16_t>(over.mode);
    // Only a regular file stands for something else; a directory is what it is.
    if (S_ISREG(st.st_mode) && over.type != NodeType::unknown && over.type != NodeType::dir) {
      node->type = over.type;
      node->rdev = static_cast<std::uint32_t>(makedev(over.major, over.minor));
    }
  }
  if (facts.device) {
    node->type = facts.device->type;
    node->rdev = static_cast<std::uint32_t>(makedev(facts.device->major, facts.device->minor));
  }
  mode_t mode = node->has_override ? node->override_mode : st.st_mode;
  node->setgid_dir = S_ISDIR(st.st_mode) && mode & S_ISGID;
  if (facts.corrupt) {
    ++counters_.corrupt_records;
    if (on_corrupt) on_corrupt(node->name.text);
  }
}

void Overlay::fill(Node* node, Found& found) {
  node->layer = found.layer;
  if (S_ISDIR(found.st.st_mode)) {
    node->dir = std::make_unique<DirPart>();
    node->dir->layers = std::move(found.versions);
    const std::string& redirect = found.facts.redirect;
    if (found.layer == 0 && stack_.writable && !redirect.empty())
      node->dir->redirect =
          redirect.front() == '/' ? redirect : path_in_lowers(node->name.parent) + "/" + redirect;
  }
  take_facts(node, found.st, found.facts);
}

base::Result<Node*> Overlay::adopt(Node* parent, std::string_view name, Found& found) {
  bool upper_link =
      found.layer == 0 && stack_.writable && !S_ISDIR(found.st.st_mode) && found.st.st_nlink > 1;
  if (upper_link) {
    if (Node* known = nodes_.find_inode(found.st.st_dev, found.st.st_ino)) {
      nodes_.add_name(known, parent, name);
      lose_orphan(known);
      return known;
    }
  }
  Node* node = nodes_.create(parent, name);
  node->ino = present_ino(found.layer, found.st.st_ino);
  fill(node, found);
  nodes_.describe(*node);
  if (upper_link) nodes_.index_inode(node, found.st.st_dev, found.st.st_ino);
  return node;
}

base::Result<Entry> Overlay::lookup(Node* parent, std::string_view name) {
  TRY_VOID(check_name(name));
  if (name.starts_with(kWhiteoutPrefix)) return base::fail(ENOENT);
  if (parent->gone) return base::fail(ENOENT);
  if (Node* known = nodes_.find(parent, name)) {
    TRY_VOID(awaken(known));
    TRY(st, stat(known));
    return Entry{known, st};
  }
  TRY(found, Merge(*this).entry(parent, name));
  struct stat st = found.st;
  TRY(node, adopt(parent, name, found));
  TRY_VOID(awaken(node));  // an inode that was known by another name
  return Entry{node, st};
}

// `above`: the parent's version, or -1 when that is in the cache.
base::Result<base::Fd> Overlay::open_version(Node* dir, LayerIndex layer, int above) {
  LayerDir* version = dir->in_layer(layer);
  if (!version) return base::fail(ENOENT);
  if (version->path)
    return at::open_beneath(stack_.layers[layer].root.get(), version->path->c_str(),
                            O_PATH | O_DIRECTORY);
  Node* parent = dir->name.parent;
  if (parent == nodes_.root()) above = stack_.layers[layer].root.get();
  if (above < 0) above = dirfds_.find(parent->id, layer);
  return at::open({above, dir->name.text}, O_PATH | O_DIRECTORY);
}

base::Result<int> Overlay::dir_fd(Node* dir, LayerIndex layer) {
  if (dir == nodes_.root()) return stack_.layers[layer].root.get();
  if (dir->stale) TRY_VOID(awaken(dir));
  if (dir->gone) return base::fail(ENOENT);
  if (int fd = dirfds_.find(dir->id, layer); fd >= 0) return fd;
  // Up to the next directory that is open, then down again: a loop, since a container decides the
  // depth.
  std::vector<Node*> closed;
  for (Node* at = dir; at != nodes_.root() && dirfds_.find(at->id, layer) < 0;
       at = at->name.parent) {
    closed.push_back(at);
    LayerDir* version = at->in_layer(layer);
    if (!version || at->gone || !at->name.parent) return base::fail(ENOENT);
    if (version->path) break;
  }
  // Only the end of a long way is kept: an operation holds descriptors of two or three directories,
  // and looking for the last of them must not push the first out.
  base::Fd passing;
  base::Result<int> fd = base::fail(ENOENT);
  for (; !closed.empty(); closed.pop_back()) {
    auto opened = open_version(closed.back(), layer, passing.get());
    if (!opened) return tl::make_unexpected(opened.error());
    if (closed.size() > dirfds_.limit() / 4) {
      passing = std::move(*opened);
      continue;
    }
    fd = dirfds_.insert(closed.back()->id, layer, std::move(*opened));
    passing.reset();
  }
  return fd;
}

std::string Overlay::path_in_layer(Node* dir, LayerIndex layer) {
  std::string path;
  for (Node* at = dir; at != nodes_.root() && at->name.parent; at = at->name.parent) {
    LayerDir* version = at->in_layer(layer);
    if (version && version->path) return *version->path + "/" + path;
    path = at->name.text + "/" + path;
  }
  return path;
}

std::string Overlay::path_in_lowers(Node* dir) {
  std::string path;
  for (Node* at = dir; at != nodes_.root() && at->name.parent; at = at->name.parent) {
    if (at->dir && !at->dir->redirect.empty()) return at->dir->redirect + path;
    path = "/" + at->name.text + path;
  }
  return path;
}

// A layer that can not be asked is no layer without the name: an unlink would bring that one back.
base::Result<bool> Overlay::lower_has(Node* parent, std::string_view name) {
  if (!parent->dir) return false;
  for (LayerDir& version : parent->dir->layers) {
    if (version.layer == 0 && stack_.writable) continue;
    auto dir = dir_fd(parent, version.layer);
    if (!dir && dir.error().value == ENOENT) continue;
    if (!dir) return tl::make_unexpected(dir.error());
    auto st = at::stat({*dir, std::string(name)});
    if (st) return !Merge::is_whiteout(*st);
    if (st.error().value != ENOENT) return tl::make_unexpected(st.error());
    if (hides(parent, version, name)) return false;
  }
  return false;
}

base::Result<at::Where> Overlay::locate(Node* node) {
  if (node->gone) {
    if (!node->orphan.valid()) return base::fail(ENOENT);
    return at::by_fd(node->orphan.get());
  }
  if (node->is_dir() && node->dir) {
    TRY(fd, dir_fd(node, node->layer));
    return at::Where{fd, "."};
  }
  TRY(fd, dir_fd(node->name.parent, node->layer));
  return at::Where{fd, node->name.text};
}

base::Result<struct stat> Overlay::stat(Node* node, const OpenFile* file) {
  if (file && file->fd) {
    struct stat st;
    TRY_VOID(base::check(::fstat(file->fd->get(), &st)));
    return st;
  }
  if (node->gone) {
    if (!node->orphan.valid()) return base::fail(ENOENT);
    return at::stat({node->orphan.get(), ""});
  }
  TRY(where, locate(node));
  if (where.name == ".") where.name.clear();
  return at::stat(where);
}

struct stat Overlay::present(const Node& node, struct stat st) const {
  st.st_uid = uids_.present(node.uid);
  st.st_gid = gids_.present(node.gid);
  st.st_ino = node.ino;
  if (node.has_override) st.st_mode = (st.st_mode & S_IFMT) | node.override_mode;
  if (format_of(node.type) != (st.st_mode & S_IFMT)) {
    st.st_mode = format_of(node.type) | (st.st_mode & 07777);
    st.st_rdev = node.rdev;
    if (node.type != NodeType::symlink) st.st_size = 0;
  }
  if (node.gone && node.is_dir()) st.st_nlink = 0;
  if (node.dir && !node.gone && (options_.static_nlink || node.dir->layers.size() > 1))
    st.st_nlink = 1;
  return st;
}

}  // namespace fusefs
