#include "fusefs/owner_store.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace fusefs {
namespace {

namespace at = ring::at;

constexpr std::size_t kRecordLimit = 256;  // longer values are corrupt anyway
using identity::kSidecarSize;

// Calls `each` for every name of a NUL-separated list.
template <class Each>
void for_each_name(const std::string& list, Each&& each) {
  for (std::size_t begin = 0; begin < list.size();) {
    std::size_t end = list.find('\0', begin);
    if (end == std::string::npos) end = list.size();
    each(std::string_view(list).substr(begin, end - begin));
    begin = end + 1;
  }
}

bool has_name(const std::string& list, std::string_view wanted) {
  bool found = false;
  for_each_name(list, [&](std::string_view name) { found |= name == wanted; });
  return found;
}

constexpr std::array<std::string_view, 3> kOpaqueKeys = {
    "trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque"};
constexpr std::array<std::string_view, 2> kRedirectKeys = {"trusted.overlay.redirect",
                                                           "user.overlay.redirect"};

// A failure that says nothing about the file. Who took it for "no record" would show the owner on
// disk: root, in a pool of one id.
void note_trouble(int error, Facts& facts) {
  if (error == EIO || error == ENOMEM || error == EMFILE || error == ENFILE) facts.error = error;
}

std::optional<std::string> value_of(const at::Where& where, std::string_view key, std::size_t limit,
                                    Facts& facts) {
  auto value = at::get_xattr(where, std::string(key).c_str(), limit);
  if (value) return std::move(*value);
  note_trouble(value.error().value, facts);
  return std::nullopt;
}

// As the kernel's overlayfs has it: one name, or "/" and names. "." and ".." are none, and what an
// image may plant beyond that leads nowhere.
bool well_formed_redirect(std::string_view path) {
  bool absolute = path.starts_with('/');
  if (absolute) path.remove_prefix(1);
  if (!absolute && path.find('/') != path.npos) return false;
  if (path.find('\0') != path.npos) return false;
  for (;;) {
    std::size_t end = std::min(path.find('/'), path.size());
    std::string_view name = path.substr(0, end);
    if (name.empty() || name == "." || name == ".." || name.size() > 255) return false;
    if (name.starts_with(kWhiteoutPrefix)) return false;
    if (end == path.size()) return true;
    path.remove_prefix(end + 1);
  }
}

}  // namespace

bool OwnerStore::needs_record(Owner owner) const {
  return on_disk(owner) != owner;
}

Facts OwnerStore::read(const at::Where& where, const struct stat& st, bool sidecar) const {
  Facts facts;
  facts.owner = {st.st_uid, st.st_gid};
  if (is_special(st.st_mode)) {
    facts.visible_xattrs = true;  // not looked: the rare reader of a symlink's xattrs asks the disk
    if (sidecar) read_sidecar(where, st, facts);
    return facts;
  }
  auto names = at::list_xattr(where);
  if (!names) note_trouble(names.error().value, facts);
  if (!names || names->empty()) return facts;
  for_each_name(*names, [&](std::string_view name) {
    if (!identity::is_internal_xattr(name)) facts.visible_xattrs = true;
    if (name == "system.posix_acl_default") facts.default_acl = true;
  });
  read_record(where, *names, facts);
  if (S_ISREG(st.st_mode) && has_name(*names, identity::kDeviceXattr)) {
    auto text = value_of(where, identity::kDeviceXattr, kRecordLimit, facts);
    auto device = identity::parse_device(text.value_or(""));
    if (device) facts.device = *device;
    facts.corrupt |= !device;
  }
  if (!S_ISDIR(st.st_mode)) return facts;
  for (std::string_view key : kOpaqueKeys)
    if (!facts.opaque && has_name(*names, key))
      facts.opaque = value_of(where, key, 16, facts) == "y";
  for (std::string_view key : kRedirectKeys)
    if (facts.redirect.empty() && has_name(*names, key))
      facts.redirect = value_of(where, key, kRedirectMax, facts).value_or("/");
  if (!facts.redirect.empty() && !well_formed_redirect(facts.redirect)) {
    facts.redirect.clear();
    facts.opaque = facts.corrupt = true;  // nothing of the layers below is known to belong here
  }
  return facts;
}

void OwnerStore::read_record(const at::Where& where, const std::string& names, Facts& facts) const {
  // Mode and type may come from an override although the owner comes from our own record.
  for (std::string_view key : identity::kOverrideXattrs) {
    if (facts.override_stat || !has_name(names, key)) continue;
    auto text = value_of(where, key, kRecordLimit, facts);
    auto parsed = identity::parse_override_stat(text.value_or(""));
    if (parsed) {
      facts.override_stat = *parsed;
      facts.owner = {parsed->uid, parsed->gid};
    } else {
      facts.corrupt = true;
    }
  }
  if (!facts.override_stat && has_name(names, identity::kRootlessXattr)) {
    auto parsed = identity::parse_rootlesscontainers(
        value_of(where, identity::kRootlessXattr, kRecordLimit, facts).value_or(""));
    if (!parsed) facts.corrupt = true;
    if (parsed && parsed->first != identity::kNoId) facts.owner.uid = parsed->first;
    if (parsed && parsed->second != identity::kNoId) facts.owner.gid = parsed->second;
  }
  auto own = [&](std::string_view key, Id& id) {
    if (!has_name(names, key)) return;
    auto parsed = identity::parse_id(value_of(where, key, kRecordLimit, facts).value_or(""));
    if (parsed)
      id = *parsed;
    else
      facts.corrupt = true;
  };
  own(identity::kUidXattr, facts.owner.uid);
  own(identity::kGidXattr, facts.owner.gid);
}

void OwnerStore::read_sidecar(const at::Where& where, const struct stat& st, Facts& facts) const {
  at::Where at{where.dir, sidecar_name(where.name)};
  auto kind = at::stat(at);
  if (!kind) return;
  auto fd = base::Result<base::Fd>(base::fail(EINVAL));
  if (S_ISREG(kind->st_mode)) fd = at::open(at, O_RDONLY);  // opening a device may do something
  if (!fd) {
    facts.corrupt = true;
    return note_trouble(fd.error().value, facts);
  }
  char text[kSidecarSize];
  const ssize_t got = ::pread(fd->get(), text, sizeof text, 0);
  auto ids = identity::parse_sidecar({text, static_cast<std::size_t>(std::max<ssize_t>(got, 0))});
  if (!ids || on_disk({ids->first, ids->second}) != Owner{st.st_uid, st.st_gid}) {
    facts.corrupt = true;
    return;
  }
  Owner owner{ids->first, ids->second};
  facts.owner = owner;
}

base::Result<> OwnerStore::write_sidecar(const at::Where& where, Owner owner) const {
  auto fd = at::open({where.dir, sidecar_name(where.name)}, O_WRONLY | O_CREAT, 0600);
  if (!fd) return tl::make_unexpected(fd.error());
  const std::string text = identity::format_sidecar(owner.uid, owner.gid);
  if (::pwrite(fd->get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return base::fail(ENOSPC);
  return base::Unit{};
}

base::Result<> OwnerStore::write_device(const at::Where& where,
                                        const identity::Device& device) const {
  return at::set_xattr(where, std::string(identity::kDeviceXattr).c_str(),
                       identity::format_device(device));
}

base::Result<> OwnerStore::ensure_sidecar(const at::Where& where, Owner owner) const {
  if (at::stat({where.dir, sidecar_name(where.name)})) return base::Unit{};
  return write_sidecar(where, owner);
}

base::Result<> OwnerStore::write(const at::Where& where, mode_t st_mode, Owner owner,
                                 bool had_record) const {
  bool record = needs_record(owner) || had_record;
  if (record && is_special(st_mode) && !where.magic) TRY_VOID(write_sidecar(where, owner));
  if (record && !is_special(st_mode)) {
    auto put = [&](std::string_view key, Id id) {
      return at::set_xattr(where, std::string(key).c_str(), identity::format_id(id));
    };
    // The id that loses privilege first: between the two calls nobody gains any.
    bool uid_first = owner.uid != 0;
    if (uid_first) TRY_VOID(put(identity::kUidXattr, owner.uid));
    TRY_VOID(put(identity::kGidXattr, owner.gid));
    if (!uid_first) TRY_VOID(put(identity::kUidXattr, owner.uid));
  }
  Owner disk = on_disk(owner);
  auto done = at::chown(where, disk.uid, disk.gid);
  // A pool too small to name the slot, or a daemon without the right: the record alone holds the
  // truth.
  if (!done && (done.error().value == EINVAL || done.error().value == EPERM) && record)
    return base::Unit{};
  return done;
}

}  // namespace fusefs
