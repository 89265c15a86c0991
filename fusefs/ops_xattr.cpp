// Operations on extended attributes. Internal names do not exist for whoever is inside the mount.
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fusefs/op_table.hpp"

namespace fusefs {

namespace at = ring::at;

namespace {

constexpr std::string_view kAccessAcl = "system.posix_acl_access";
constexpr std::string_view kDefaultAcl = "system.posix_acl_default";

// What is refused before any layer is asked.
Done check_name(const Overlay& fs, std::string_view name, int for_internal) {
  if (!fs.options().xattrs) return base::fail(ENOSYS);
  if (name.empty() || name.size() > XATTR_NAME_MAX) return base::fail(ERANGE);
  if (identity::is_internal_xattr(name)) return base::fail(for_internal);
  if (is_unguarded_xattr(name, fs.stack().acls)) return base::fail(EOPNOTSUPP);
  return base::Unit{};
}

// Whether the caller is where the mount was made, as podman is, rather than in a container.
bool is_outside(const Overlay& fs, std::uint32_t pid) {
  return pid != 0 && !fs.mounted_in.empty() && namespaces_of(std::to_string(pid)) == fs.mounted_in;
}

// Podman writes the user.* names that it sees into the layers that it commits. So where the shown
// number is not the owner's the owner is told, else a committed file of 60000 would be its slot's
// for ever. A container has mounts or ids of its own, and is told nothing; nor is an engine under
// our supervisor, which sees the owners themselves, and must not have them twice in what it writes.
std::string told_owner(const Overlay& fs, const Request& request, std::string_view name) {
  bool uid = name == identity::kUidXattr;
  if (!uid && name != identity::kGidXattr) return {};
  const Node& node = *request.node;
  if (node.type != identity::NodeType::file && !node.is_dir()) return {};
  if (!fs.uids().shown_as_other(node.uid) && !fs.gids().shown_as_other(node.gid)) return {};
  if (!is_outside(fs, request.header.pid)) return {};
  if (fs.knows_owners && fs.knows_owners(request.header.pid)) return {};
  return std::to_string(uid ? node.uid : node.gid);
}

void answer_size(Answer& answer, std::size_t size) {
  fuse_getxattr_out out{};
  out.size = static_cast<std::uint32_t>(size);
  answer.put(out);
}

// Without FUSE_SETXATTR_EXT (kernels before 5.12) the name begins eight bytes earlier.
std::optional<fuse_setxattr_in> take_setxattr(const Request& request, base::Reader& reader) {
  if (request.setxattr_ext) return reader.take<fuse_setxattr_in>();
  auto size = reader.take<std::uint32_t>();
  auto flags = reader.take<std::uint32_t>();
  if (!size || !flags) return std::nullopt;
  return fuse_setxattr_in{*size, *flags, 0, 0};
}

void xattrs_changed(Node* node, const at::Where& where, std::string_view name) {
  node->no_xattrs = false;
  if (name == kDefaultAcl)
    node->default_acl = at::xattr_size(where, std::string(kDefaultAcl).c_str()).has_value();
}

}  // namespace

// The kernel asks nobody's permission for system.*: an NFS or SMB layer's own ACL (nfs4_acl,
// cifs_acl, ...) would be set with our rights. Only the POSIX ones are the owner's alone.
bool is_unguarded_xattr(std::string_view name, bool acls) {
  if (!name.starts_with("system.")) return false;
  return !acls || (name != kAccessAcl && name != kDefaultAcl);
}

Done on_getxattr(Overlay& fs, Request& request, Answer& answer) {
  auto reader = request.reader();
  auto in = reader.take<fuse_getxattr_in>();
  auto name = reader.take_string();
  if (!name) return base::fail(EINVAL);
  if (fs.wishes && fs.wishes->asked(fs, request.node->id, *name)) return base::fail(ENODATA);
  if (std::string owner = told_owner(fs, request, *name); !owner.empty()) {
    if (in->size == 0)
      answer_size(answer, owner.size());
    else if (in->size < owner.size())
      return base::fail(ERANGE);
    else
      answer.put(std::move(owner));
    return base::Unit{};
  }
  TRY_VOID(check_name(fs, *name, ENODATA));
  if (request.node->no_xattrs) return base::fail(ENODATA);
  TRY(where, fs.locate(request.node));
  std::string key(*name);
  if (in->size == 0) {
    TRY(size, at::xattr_size(where, key.c_str()));
    answer_size(answer, size);
    return base::Unit{};
  }
  TRY(value, at::get_xattr(where, key.c_str(), std::min<std::size_t>(in->size, XATTR_SIZE_MAX)));
  answer.put(std::move(value));
  return base::Unit{};
}

Done on_listxattr(Overlay& fs, Request& request, Answer& answer) {
  auto in = request.reader().take<fuse_getxattr_in>();
  if (!fs.options().xattrs) return base::fail(ENOSYS);
  std::string visible;
  if (!request.node->no_xattrs) {
    TRY(where, fs.locate(request.node));
    TRY(names, at::list_xattr(where));
    for (std::size_t begin = 0; begin < names.size();) {
      std::string_view name(names.c_str() + begin);
      begin += name.size() + 1;
      if (identity::is_internal_xattr(name)) continue;
      if (is_unguarded_xattr(name, fs.stack().acls)) continue;
      visible.append(name).push_back('\0');
    }
  }
  if (!told_owner(fs, request, identity::kUidXattr).empty())
    for (std::string_view name : {identity::kUidXattr, identity::kGidXattr})
      visible.append(name).push_back('\0');
  if (in->size == 0) {
    answer_size(answer, visible.size());
    return base::Unit{};
  }
  if (visible.size() > in->size) return base::fail(ERANGE);
  answer.put(std::move(visible));
  return base::Unit{};
}

ring::Task<Done> on_setxattr(Overlay& fs, Request& request, Answer&) {
  auto reader = request.reader();
  auto in = take_setxattr(request, reader);
  auto name = reader.take_string();
  if (!in || !name) co_return base::fail(EINVAL);
  auto value = reader.take_bytes(in->size);
  if (!value) co_return base::fail(EINVAL);
  std::string_view bytes(reinterpret_cast<const char*>(value->data()), value->size());
  if (std::string owner = told_owner(fs, request, *name); !owner.empty() && owner == bytes)
    co_return base::Unit{};  // a copy with all attributes; chown has done it
  CO_TRY_VOID(check_name(fs, *name, EPERM));
  Node* node = request.node;
  Pin pin(fs.nodes(), node);
  if (!fs.in_upper(node)) CO_TRY_VOID(co_await fs.copy_up(node));
  CO_TRY(where, fs.locate(node));
  std::string key(*name);
  int flags = static_cast<int>(in->flags);
  if (flags & XATTR_CREATE && request.again == Verdict::none && at::xattr_size(where, key.c_str()))
    co_return base::fail(EEXIST);
  if (request.again != Verdict::none) flags &= ~XATTR_CREATE;  // it may be there already, by us
  Change change(fs.ledger(), {.act = Act::set_xattr, .unique = request.unique()});
  CO_TRY_VOID(at::set_xattr(where, key.c_str(), bytes, flags));
  change.happened();
  xattrs_changed(node, where, key);
  if (in->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) {
    CO_TRY(st, fs.stat(node));
    mode_t mode = fs.present(*node, st).st_mode;
    CO_TRY_VOID(fs.set_mode(node, mode & 07777 & ~static_cast<mode_t>(S_ISGID)));
  }
  co_return base::Unit{};
}

ring::Task<Done> on_removexattr(Overlay& fs, Request& request, Answer&) {
  auto name = request.reader().take_string();
  if (!name) co_return base::fail(EINVAL);
  CO_TRY_VOID(check_name(fs, *name, EPERM));
  Node* node = request.node;
  Pin pin(fs.nodes(), node);
  std::string key(*name);
  if (!fs.in_upper(node)) {
    CO_TRY(lower, fs.locate(node));
    CO_TRY_VOID(at::xattr_size(lower, key.c_str()));  // nothing to remove: nothing to copy
    CO_TRY_VOID(co_await fs.copy_up(node));
  }
  CO_TRY(where, fs.locate(node));
  if (request.again == Verdict::none) CO_TRY_VOID(at::xattr_size(where, key.c_str()));
  Change change(fs.ledger(), {.act = Act::remove_xattr, .unique = request.unique()});
  auto removed = at::remove_xattr(where, key.c_str());
  bool before = request.again != Verdict::none && !removed && removed.error().value == ENODATA;
  if (!removed && !before) co_return removed;
  change.happened();
  xattrs_changed(node, where, key);
  co_return base::Unit{};
}

Done on_destroy(Overlay&, Request&, Answer&) {
  return base::Unit{};
}

}  // namespace fusefs
