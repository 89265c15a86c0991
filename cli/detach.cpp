#include "cli/detach.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include "base/fd.hpp"
#include "base/mountinfo.hpp"
#include "base/wait.hpp"

namespace cli {
namespace {

using Inode = std::pair<dev_t, ino_t>;

// The paths at which this process has FUSE mounts of `devices`; what is mounted later comes first.
// The root of a container is not among them: it goes with the container.
std::vector<std::string> mounts_of(const std::string& process,
                                   const std::vector<std::string>& devices) {
  std::ifstream file(process + "/mountinfo");
  std::stringstream text;
  text << file.rdbuf();
  std::vector<std::string> found;
  const std::string table = text.str();
  for (const base::MountLine& line : base::mount_lines(table)) {
    bool ours = std::find(devices.begin(), devices.end(), line.device) != devices.end();
    if (ours && line.point != "/" && line.type.starts_with("fuse"))
      found.insert(found.begin(), base::unescape_mount(line.point));
  }
  return found;
}

Inode inode_of(const base::Fd& fd) {
  struct stat st {};
  ::fstat(fd.get(), &st);
  return {st.st_dev, st.st_ino};
}

// In a child of ours: joins the namespaces and unmounts. Returns the number of failures. Inside the
// user namespace that owns the mounts we have the right to; it may be our own already.
int detach_there(const base::Fd& user, const base::Fd& mounts,
                 const std::vector<std::string>& paths) {
  base::Fd own(::open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC));
  if (inode_of(own) != inode_of(user) && ::setns(user.get(), CLONE_NEWUSER) != 0) return 255;
  if (::setns(mounts.get(), CLONE_NEWNS) != 0) return 255;
  int failed = 0;
  for (const std::string& path : paths)
    if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) ++failed;
  return std::min(failed, 254);
}

void detach_at(const std::string& process, const base::Fd& mounts,
               const std::vector<std::string>& paths, Detached& result) {
  base::Fd user(::open((process + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
  pid_t child = user.valid() ? ::fork() : -1;
  if (child == 0) ::_exit(detach_there(user, mounts, paths));
  const int status = child > 0 ? base::wait_for(child) : -1;
  int failed = child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
  if (failed == 255)
    result.failed.push_back("cannot enter the mount namespace of process " +
                            process.substr(std::strlen("/proc/")) + ", which has " +
                            std::to_string(paths.size()) + " of the mounts");
  else if (failed > 0)
    result.failed.push_back(std::to_string(failed) + " of " + std::to_string(paths.size()) +
                            " mounts in the namespace of process " +
                            process.substr(std::strlen("/proc/")) + " could not be detached");
  if (failed < 254) result.mounts += paths.size() - static_cast<std::size_t>(failed);
}

}  // namespace

Detached detach_everywhere(const std::vector<std::string>& devices) {
  Detached result;
  std::set<Inode> seen;
  struct End {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  std::unique_ptr<DIR, End> all(::opendir("/proc"));
  while (dirent* entry = all ? ::readdir(all.get()) : nullptr) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    std::string process = std::string("/proc/") + entry->d_name;
    base::Fd mounts(::open((process + "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC));
    if (!mounts.valid() || !seen.insert(inode_of(mounts)).second) continue;
    std::vector<std::string> there = mounts_of(process, devices);
    if (!there.empty()) detach_at(process, mounts, there, result);
  }
  return result;
}

}  // namespace cli
