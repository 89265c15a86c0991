#include "runtime/kinship.hpp"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.hpp"
#include "base/io.hpp"

namespace oci {
namespace {

constexpr std::size_t kMostMap = 64 * 1024;

base::Fd open_path(const std::string& path) {
  // A namespace's file is on nsfs, where opening has no effect; a fifo must not keep us.
  return base::Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
}

UserNamespaceId identify(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return {};
  return {status.st_dev, status.st_ino};
}

bool is_namespace(int fd) {
  return ::ioctl(fd, NS_GET_NSTYPE) >= 0;
}

// EPERM: its owner is neither ours nor a descendant of ours.
Joined look_at_one(const Namespace& one) {
  Joined joined{one.type, one.path, {}, 0};
  base::Fd file = open_path(one.path);
  if (!file.valid() || !is_namespace(file.get())) return joined;
  joined.inode = identify(file.get()).second;
  base::Fd owner(::ioctl(file.get(), NS_GET_USERNS));
  if (owner.valid()) joined.owner = identify(owner.get());
  return joined;
}

bool is_our_child(int users) {
  uid_t uid = static_cast<uid_t>(-1);
  if (::ioctl(users, NS_GET_OWNER_UID, &uid) != 0 || uid != ::geteuid()) return false;
  base::Fd parent(::ioctl(users, NS_GET_PARENT));
  base::Fd own = open_path("/proc/self/ns/user");
  return parent.valid() && own.valid() && identify(parent.get()) == identify(own.get());
}

std::optional<std::vector<identity::Extent>> read_map(const std::string& path) {
  base::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return std::nullopt;
  auto text = base::read_all(file.get(), kMostMap);
  if (!text) return std::nullopt;
  auto pool = identity::Pool::parse(*text);
  if (!pool) return std::nullopt;
  return std::vector<identity::Extent>(pool->extents().begin(), pool->extents().end());
}

// "/proc/PID/ns/" of "/proc/PID/ns/ipc"; empty for other paths.
std::string directory_of(const std::string& path) {
  constexpr std::string_view kProc = "/proc/";
  if (!path.starts_with(kProc)) return {};
  std::size_t end = path.find_first_not_of("0123456789", kProc.size());
  if (end == kProc.size() || end == path.npos || path.compare(end, 4, "/ns/") != 0) return {};
  return path.substr(0, end + 4);
}

std::optional<Nested> nested_at(const Joined& joined) {
  std::string directory = directory_of(joined.path);
  if (directory.empty() || joined.owner == UserNamespaceId{}) return std::nullopt;
  Nested found{joined.owner, directory + "user", {}, {}};
  base::Fd users = open_path(found.path);
  if (!users.valid() || identify(users.get()) != joined.owner || !is_our_child(users.get()))
    return std::nullopt;
  std::string process = directory.substr(0, directory.size() - 3);
  auto uids = read_map(process + "uid_map");
  auto gids = read_map(process + "gid_map");
  if (!uids || !gids) return std::nullopt;
  found.uids = std::move(*uids);
  found.gids = std::move(*gids);
  return found;
}

}  // namespace

std::vector<Joined> look_at(std::span<const Namespace> namespaces) {
  std::vector<Joined> all;
  for (const Namespace& one : namespaces)
    if (!one.path.empty()) all.push_back(look_at_one(one));
  return all;
}

std::optional<Nested> nested_owner(std::span<const Joined> joined) {
  for (const Joined& one : joined)
    if (auto found = nested_at(one)) return found;
  return std::nullopt;
}

}  // namespace oci
