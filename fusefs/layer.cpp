#include "fusefs/layer.hpp"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
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

// A private copy of the mount at `path`, without the mounts below it. As the kernel's overlayfs
// does, we then never cross into something mounted on a layer - our own mount among them, which
// would be a deadlock.
base::Fd clone_mount(int dir, const std::string& path) {
  int fd = static_cast<int>(
      ::syscall(SYS_open_tree, dir, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  return base::Fd(fd);
}

base::Checked<base::Fd> open_directory(const std::string& what, const std::string& path) {
  base::Fd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return base::refuse(why(what, path, errno));
  if (::faccessat(fd.get(), ".", R_OK | X_OK, AT_EACCESS) != 0)
    return base::refuse(why(what, path, errno));
  return fd;
}

std::string real_path(const base::Fd& fd) {
  char buffer[PATH_MAX];
  std::string link = "/proc/self/fd/" + std::to_string(fd.get());
  ssize_t n = ::readlink(link.c_str(), buffer, sizeof buffer);
  if (n <= 0 || buffer[0] != '/') return {};
  return std::string(buffer, static_cast<std::size_t>(n));
}

bool same_file(const base::Fd& a, const base::Fd& b) {
  struct stat x, y;
  return ::fstat(a.get(), &x) == 0 && ::fstat(b.get(), &y) == 0 && x.st_dev == y.st_dev &&
         x.st_ino == y.st_ino;
}

std::string common_parent(const std::string& a, const std::string& b) {
  std::size_t cut = 0;
  for (std::size_t i = 0; i < a.size() && i < b.size() && a[i] == b[i]; ++i)
    if (a[i] == '/') cut = i;
  return cut == 0 ? "/" : a.substr(0, cut);
}

// rename(2) refuses to cross mounts, clones included: upper and work must come from one clone.
void clone_together(base::Fd& upper, base::Fd& work) {
  std::string upper_path = real_path(upper), work_path = real_path(work);
  if (upper_path.empty() || work_path.empty()) return;
  std::string parent = common_parent(upper_path, work_path);
  base::Fd clone = clone_mount(AT_FDCWD, parent);
  if (!clone.valid()) return;
  std::size_t skip = parent == "/" ? 1 : parent.size() + 1;
  auto new_upper = at::open_beneath(clone.get(), upper_path.c_str() + skip, O_PATH | O_DIRECTORY);
  auto new_work = at::open_beneath(clone.get(), work_path.c_str() + skip, O_PATH | O_DIRECTORY);
  if (!new_upper || !new_work) return;
  if (!same_file(*new_upper, upper) || !same_file(*new_work, work)) return;
  upper = std::move(*new_upper);
  work = std::move(*new_work);
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

bool keeps_acls(const Layer& layer) {
  auto size = at::xattr_size({layer.root.get(), "."}, "system.posix_acl_access");
  return size || size.error().value != EOPNOTSUPP;
}

base::Checked<Layer> open_lower(const std::string& path, std::vector<dev_t>& devices) {
  TRY(plain, open_directory("lowerdir", path));
  base::Fd clone = clone_mount(plain.get(), ".");
  if (clone.valid() && same_file(clone, plain)) plain = std::move(clone);
  return make_layer(std::move(plain), path, devices);
}

base::Checked<base::Unit> open_upper(const LayerPaths& paths, LayerStack& stack,
                                     std::vector<dev_t>& devices) {
  TRY(upper, open_directory("upperdir", paths.upper));
  TRY(work, open_directory("workdir", paths.work));
  if (same_file(upper, work))
    return base::refuse("workdir " + paths.work + ": must not be the upperdir itself");
  struct stat u, w;
  if (::fstat(upper.get(), &u) != 0 || ::fstat(work.get(), &w) != 0 || u.st_dev != w.st_dev)
    return base::refuse("workdir " + paths.work + ": must be on the same file system as upperdir " +
                        paths.upper);
  std::string upper_path = real_path(upper), work_path = real_path(work);
  if (work_path.starts_with(upper_path + "/") || upper_path.starts_with(work_path + "/"))
    return base::refuse("workdir " + paths.work + ": must not lie inside upperdir " + paths.upper +
                        ", nor around it");
  clone_together(upper, work);
  TRY(temporary, WorkDir::prepare(work, paths.work));
  stack.work = std::move(temporary);
  TRY(layer, make_layer(std::move(upper), paths.upper, devices));
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

base::Checked<LayerStack> LayerStack::open(const LayerPaths& paths, const OverlayOptions& options) {
  LayerStack stack;
  std::vector<dev_t> devices;
  if (!paths.upper.empty()) TRY_VOID(open_upper(paths, stack, devices));
  for (const std::string& path : paths.lower) {
    TRY(layer, open_lower(path, devices));
    stack.layers.push_back(std::move(layer));
  }
  TRY_VOID(refuse_twins(stack, paths));
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
