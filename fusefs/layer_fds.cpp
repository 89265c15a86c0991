#include "fusefs/layer_fds.hpp"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstring>
#include <utility>

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

base::Checked<base::Unit> open_upper(const LayerPaths& paths, LayerFds& fds) {
  TRY(upper, open_directory("upperdir", paths.upper));
  TRY(work, open_directory("workdir", paths.work));
  std::string upper_path = real_path(upper), work_path = real_path(work);
  if (work_path.starts_with(upper_path + "/") || upper_path.starts_with(work_path + "/"))
    return base::refuse("workdir " + paths.work + ": must not lie inside upperdir " + paths.upper +
                        ", nor around it");
  clone_together(upper, work);
  fds.upper = std::move(upper);
  fds.work = std::move(work);
  return base::Unit{};
}

}  // namespace

base::Checked<LayerFds> LayerFds::open(const LayerPaths& paths) {
  LayerFds fds;
  if (!paths.upper.empty()) TRY_VOID(open_upper(paths, fds));
  for (const std::string& path : paths.lower) {
    TRY(plain, open_directory("lowerdir", path));
    base::Fd clone = clone_mount(plain.get(), ".");
    bool same = clone.valid() && same_file(clone, plain);
    fds.lower.push_back(same ? std::move(clone) : std::move(plain));
  }
  return fds;
}

std::vector<int> LayerFds::in_order() const {
  std::vector<int> all;
  if (upper.valid()) all = {upper.get(), work.get()};
  for (const base::Fd& fd : lower) all.push_back(fd.get());
  return all;
}

base::Checked<LayerFds> LayerFds::from_order(std::vector<base::Fd> all, const LayerPaths& paths) {
  std::size_t above = paths.upper.empty() ? 0 : 2;
  if (all.size() != paths.lower.size() + above)
    return base::refuse(std::to_string(all.size()) + " descriptors of layers for " +
                        std::to_string(paths.lower.size() + above) + " directories");
  LayerFds fds;
  if (above) {
    fds.upper = std::move(all[0]);
    fds.work = std::move(all[1]);
  }
  for (std::size_t i = above; i < all.size(); ++i) fds.lower.push_back(std::move(all[i]));
  return fds;
}

}  // namespace fusefs
