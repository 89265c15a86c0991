#include "fusefs/layer.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "fusefs/work_dir.hpp"
#include "identity/owner_record.hpp"
#include "ring/at.hpp"

namespace fusefs {
namespace {

namespace at = ring::at;

std::string why(const std::string& what, const std::string& path, int error) {
  return what + " " + path + ": " + std::strerror(error);
}

base::Checked<base::Unit> check_directory(const base::Fd& fd, const std::string& what,
                                          const std::string& path) {
  struct stat st;
  if (::fstat(fd.get(), &st) != 0) return base::refuse(why(what, path, errno));
  if (!S_ISDIR(st.st_mode)) return base::refuse(what + " " + path + ": is not a directory");
  return base::Unit{};
}

// 0 where the kernel does not tell (before 5.8).
std::uint64_t mount_of(const base::Fd& fd) {
  struct statx st {};
  int failed = ::statx(fd.get(), "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &st);
  return failed == 0 && st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0;
}

base::Checked<Layer> make_layer(base::Fd root, const std::string& path,
                                std::vector<dev_t>& devices) {
  struct stat st;
  if (::fstat(root.get(), &st) != 0) return base::refuse(why("layer", path, errno));
  Layer layer;
  layer.device = st.st_dev;
  auto found = std::find(devices.begin(), devices.end(), st.st_dev);
  layer.device_index =
      static_cast<std::uint8_t>(std::min<std::ptrdiff_t>(found - devices.begin(), 254));
  if (found == devices.end()) devices.push_back(st.st_dev);
  for (std::string_view key : identity::kOverrideXattrs)
    if (at::xattr_size({root.get(), "."}, std::string(key).c_str())) layer.typed_overrides = true;
  layer.root = std::move(root);
  return layer;
}

// A kernel's own file systems; of any other we do not know who answers, and when.
bool is_local(const Layer& layer) {
  constexpr std::uint64_t kZfs = 0x2fc12fc1, kBcachefs = 0xca451a4e;  // not in linux/magic.h
  struct statfs st;
  if (::fstatfs(layer.root.get(), &st) != 0) return false;
  switch (static_cast<std::uint64_t>(st.f_type)) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case OVERLAYFS_SUPER_MAGIC:
    case SQUASHFS_MAGIC:
    case EROFS_SUPER_MAGIC_V1:
    case kZfs:
    case kBcachefs: return true;
    default: return false;
  }
}

bool keeps_acls(const Layer& layer) {
  auto size = at::xattr_size({layer.root.get(), "."}, "system.posix_acl_access");
  return size || size.error().value != EOPNOTSUPP;
}

// As at mount(2) of the kernel's overlayfs; upper and work may be anything that a peer had open.
base::Checked<base::Unit> adopt_upper(LayerFds& fds, const LayerPaths& paths, LayerStack& stack,
                                      std::vector<dev_t>& devices) {
  TRY_VOID(check_directory(fds.upper, "upperdir", paths.upper));
  TRY_VOID(check_directory(fds.work, "workdir", paths.work));
  struct stat u, w;
  if (::fstat(fds.upper.get(), &u) != 0 || ::fstat(fds.work.get(), &w) != 0)
    return base::refuse(why("workdir", paths.work, errno));
  if (u.st_dev == w.st_dev && u.st_ino == w.st_ino)
    return base::refuse("workdir " + paths.work + ": must not be the upperdir itself");
  if (u.st_dev != w.st_dev)
    return base::refuse("workdir " + paths.work + ": must be on the same file system as upperdir " +
                        paths.upper);
  if (mount_of(fds.upper) != mount_of(fds.work))  // rename(2) refuses to cross mounts
    return base::refuse("workdir " + paths.work + ": must be on the same mount as upperdir " +
                        paths.upper);
  TRY(temporary, WorkDir::prepare(fds.work, paths.work));
  stack.work = std::move(temporary);
  TRY(layer, make_layer(std::move(fds.upper), paths.upper, devices));
  stack.layers.push_back(std::move(layer));
  stack.writable = true;
  return base::Unit{};
}

// One directory as two layers: whiteouts and copy-ups of the one would change the other.
base::Checked<base::Unit> refuse_twins(const LayerStack& stack, const LayerPaths& paths) {
  std::map<std::pair<dev_t, ino_t>, std::string> seen;
  std::size_t lower = 0;
  for (std::size_t i = 0; i < stack.layers.size(); ++i) {
    struct stat st;
    if (::fstat(stack.layers[i].root.get(), &st) != 0) continue;
    bool upper = stack.writable && i == 0;
    std::string name = upper ? "upperdir " + paths.upper : "lowerdir " + paths.lower[lower++];
    auto [other, fresh] = seen.emplace(std::make_pair(st.st_dev, st.st_ino), name);
    if (!fresh) return base::refuse(name + ": is the same directory as " + other->second);
  }
  return base::Unit{};
}

OpaqueForm choose_opaque(const LayerStack& stack, OpaqueForm wanted) {
  if (wanted != OpaqueForm::automatic) return wanted;
  // The initial namespace's root writes what a kernel mount without userxattr reads.
  at::Where probe{stack.work.get(), "."};
  if (at::set_xattr(probe, "trusted.overlay.opaque", "n")) {
    (void)at::remove_xattr(probe, "trusted.overlay.opaque");
    return OpaqueForm::trusted;
  }
  if (at::set_xattr(probe, "user.overlay.opaque", "n")) {
    (void)at::remove_xattr(probe, "user.overlay.opaque");
    return OpaqueForm::user;
  }
  return OpaqueForm::file;
}

}  // namespace

base::Checked<LayerStack> LayerStack::adopt(LayerFds fds, const LayerPaths& paths,
                                            const OverlayOptions& options) {
  LayerStack stack;
  std::vector<dev_t> devices;
  if (fds.lower.size() != paths.lower.size())
    return base::refuse("not a descriptor for each lowerdir");
  if (fds.upper.valid()) TRY_VOID(adopt_upper(fds, paths, stack, devices));
  for (std::size_t i = 0; i < fds.lower.size(); ++i) {
    TRY_VOID(check_directory(fds.lower[i], "lowerdir", paths.lower[i]));
    TRY(layer, make_layer(std::move(fds.lower[i]), paths.lower[i], devices));
    stack.layers.push_back(std::move(layer));
  }
  TRY_VOID(refuse_twins(stack, paths));
  stack.local = std::all_of(stack.layers.begin(), stack.layers.end(), is_local);
  stack.acls = options.acl && std::all_of(stack.layers.begin(), stack.layers.end(), keeps_acls);
  if (stack.writable) {
    stack.opaque = choose_opaque(stack, options.opaque);
    stack.device_whiteouts =
        options.whiteout == WhiteoutForm::device ||
        (options.whiteout == WhiteoutForm::automatic && WorkDir::can_make_whiteout(stack.work));
  }
  if (options.xino == XinoMode::on && devices.size() > 254)
    return base::refuse("xino=on: more than 254 file systems below one mount");
  return stack;
}

}  // namespace fusefs
