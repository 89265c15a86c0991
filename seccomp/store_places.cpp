#include "seccomp/store_places.hpp"

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

#include "base/io.hpp"
#include "base/mountinfo.hpp"

namespace seccomp {
namespace {

constexpr unsigned kMountId = 0x1000;        // STATX_MNT_ID, Linux 5.8
constexpr unsigned kMountIdUnique = 0x4000;  // STATX_MNT_ID_UNIQUE, Linux 6.8
constexpr std::size_t kMostMountinfo = 8 << 20;
constexpr std::size_t kMostMounts = 256;  // remembered; podman makes a few for each layer
constexpr std::string_view kDeleted = " (deleted)";

// Never asks a server: the answer of a FUSE mount of ours would have to come from this very thread.
std::optional<std::uint64_t> mount_id(const base::Fd& file, unsigned which) {
  struct statx st {};
  if (::statx(file.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, which, &st) != 0 ||
      !(st.stx_mask & which))
    return std::nullopt;
  return st.stx_mnt_id;
}

std::string read_mountinfo(pid_t tid) {
  base::Fd file(
      ::open(("/proc/" + std::to_string(tid) + "/mountinfo").c_str(), O_RDONLY | O_CLOEXEC));
  return base::read_all(file.get(), kMostMountinfo).value_or("");
}

// What follows `folder` in `path`, with its slash; nothing if it does not lie there.
std::optional<std::string_view> below(std::string_view path, std::string_view folder) {
  if (folder == "/") return path == "/" ? std::string_view() : path;
  if (!path.starts_with(folder)) return std::nullopt;
  path.remove_prefix(folder.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  return path;
}

}  // namespace

std::optional<MountLine> find_mount(std::string_view mountinfo, std::uint64_t id) {
  const std::string wanted = std::to_string(id);
  for (const base::MountLine& line : base::mount_lines(mountinfo)) {
    if (line.id != wanted || line.type.empty()) continue;
    if (!line.root.starts_with('/') || !line.point.starts_with('/')) continue;
    return MountLine{std::string(line.device), base::unescape_mount(line.root),
                     base::unescape_mount(line.point), std::string(line.type)};
  }
  return std::nullopt;
}

bool Place::within(const Place& directory) const {
  return device == directory.device && below(path, directory.path).has_value();
}

bool StorePlaces::contains(const Place& place) const {
  for (const Place& store : stores_)
    if (place.within(store)) return true;
  return false;
}

std::optional<MountLine> StorePlaces::mount_of(const base::Fd& file, pid_t tid, pid_t other) {
  auto unique = mount_id(file, kMountIdUnique);
  if (unique)
    if (auto known = mounts_.find(*unique); known != mounts_.end()) return known->second;
  auto id = mount_id(file, kMountId);
  if (!id) return std::nullopt;
  auto mount = find_mount(read_mountinfo(other), *id);
  if (!mount && tid != other) mount = find_mount(read_mountinfo(tid), *id);
  if (!mount || !unique) return mount;
  if (mounts_.size() >= kMostMounts) mounts_.clear();
  mounts_.emplace(*unique, *mount);
  return mount;
}

std::optional<Place> StorePlaces::place(const base::Fd& file, pid_t tid, pid_t other) {
  auto mount = mount_of(file, tid, other);
  if (!mount || mount->type == "fuse" || mount->type.starts_with("fuse.")) return std::nullopt;
  char text[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(file.get());
  const ssize_t size = ::readlink(link.c_str(), text, sizeof text);
  if (size <= 0 || size == sizeof text) return std::nullopt;
  std::string_view path(text, static_cast<std::size_t>(size));
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  auto rest = below(path, mount->point);
  if (!rest) return std::nullopt;
  Place place{mount->device, mount->root == "/" ? std::string() : mount->root};
  place.path += *rest;
  if (place.path.empty()) place.path = "/";
  return place;
}

}  // namespace seccomp
