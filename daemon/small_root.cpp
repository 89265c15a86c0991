// The daemon's own mount namespace; see user_namespace.hpp.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/fd.hpp"
#include "base/io.hpp"
#include "daemon/user_namespace.hpp"

namespace serving {
namespace {

constexpr const char* kStage = "/tmp";  // what the new root is first mounted on, seen by us only

tl::unexpected<base::Failure> refuse_errno(const std::string& what) {
  return base::refuse_errno("leaving the caller's mount namespace: " + what);
}

struct Kept {
  std::string path;
  base::Fd directory;
};

std::vector<Kept> open_all(std::span<const std::string> paths) {
  std::vector<Kept> kept;
  for (const std::string& path : paths) {
    char resolved[PATH_MAX];
    if (!::realpath(path.c_str(), resolved)) continue;
    base::Fd directory(::open(resolved, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    // By both names: rootlesskit makes /run/user a link.
    for (const std::string& name :
         {std::string(resolved), std::filesystem::path(path).lexically_normal().string()}) {
      // The root and /proc are there anyway, or not to be had.
      bool again = std::any_of(kept.begin(), kept.end(), [&](auto& k) { return k.path == name; });
      if (directory.valid() && name != "/" && !name.starts_with("/proc") && !again)
        kept.push_back({name, base::Fd(::fcntl(directory.get(), F_DUPFD_CLOEXEC, 0))});
    }
  }
  return kept;
}

void make_directories(const std::string& root, const std::string& path) {
  for (std::size_t at = path.find('/', 1); at != path.npos; at = path.find('/', at + 1))
    ::mkdir((root + path.substr(0, at)).c_str(), 0755);
  ::mkdir((root + path).c_str(), 0755);
}

base::Checked<base::Unit> build_root(const std::vector<Kept>& kept) {
  if (::mount("usernetes-identity", kStage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m") !=
      0)
    return refuse_errno("tmpfs");
  std::string root = kStage;
  make_directories(root, "/proc");
  // With what is mounted in it: in a namespace of another owner that is locked together.
  if (::mount("/proc", (root + "/proc").c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0)
    return refuse_errno("/proc");
  for (const Kept& one : kept) {
    make_directories(root, one.path);
    // By descriptor: the path may just have been covered by the new root.
    std::string from = "/proc/self/fd/" + std::to_string(one.directory.get());
    if (::mount(from.c_str(), (root + one.path).c_str(), nullptr, MS_BIND, nullptr) != 0)
      return refuse_errno(one.path);
  }
  return base::Unit{};
}

}  // namespace

base::Checked<base::Unit> leave_mount_namespace(std::span<const std::string> keep) {
  ::tzset();  // reads /etc/localtime, which then is not there
  if (::unshare(CLONE_NEWNS) != 0) return refuse_errno("unshare");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return refuse_errno("private mounts");
  auto kept = open_all(keep);  // in our namespace: what is of another one cannot be bound
  TRY_VOID(build_root(kept));
  if (::chdir(kStage) != 0 || ::syscall(SYS_pivot_root, ".", ".") != 0)
    return refuse_errno("pivot_root");
  if (::umount2(".", MNT_DETACH) != 0 || ::chdir("/") != 0)
    return refuse_errno("detaching the old root");
  // Nothing of ours belongs there.
  ::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, nullptr);
  return base::Unit{};
}

}  // namespace serving
