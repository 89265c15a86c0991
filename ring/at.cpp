#include "ring/at.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include <climits>
#include <cstring>

namespace ring::at {
namespace {

// Linux 6.13; the build host's headers may be older.
constexpr long kSetxattrat = 463, kGetxattrat = 464, kListxattrat = 465, kRemovexattrat = 466;
struct XattrArgs {
  alignas(8) std::uint64_t value;
  std::uint32_t size;
  std::uint32_t flags;
};

bool have_xattrat() {
  static const bool have = [] {
    char buffer[1];
    return ::syscall(kListxattrat, AT_FDCWD, "/", 0, buffer, std::size_t{0}) >= 0 ||
           errno != ENOSYS;
  }();
  return have;
}

int link_flag(const Where& where) {
  return where.magic ? 0 : AT_SYMLINK_NOFOLLOW;
}

// The way of kernels before 6.13: the directory by its magic link, the last component not followed.
std::string old_path(const Where& where) {
  if (where.magic) return where.name;
  return "/proc/self/fd/" + std::to_string(where.dir) + "/" + where.name;
}

long raw_get(const Where& where, const char* key, void* value, std::size_t size) {
  if (have_xattrat()) {
    XattrArgs args{reinterpret_cast<std::uint64_t>(value), static_cast<std::uint32_t>(size), 0};
    return ::syscall(kGetxattrat, where.dir, where.name.c_str(), link_flag(where), key, &args,
                     sizeof args);
  }
  auto path = old_path(where);
  return where.magic ? ::getxattr(path.c_str(), key, value, size)
                     : ::lgetxattr(path.c_str(), key, value, size);
}

long raw_list(const Where& where, char* list, std::size_t size) {
  if (have_xattrat())
    return ::syscall(kListxattrat, where.dir, where.name.c_str(), link_flag(where), list, size);
  auto path = old_path(where);
  return where.magic ? ::listxattr(path.c_str(), list, size)
                     : ::llistxattr(path.c_str(), list, size);
}

}  // namespace

base::Result<struct stat> stat(const Where& where) {
  struct stat st;
  int flags = where.name.empty() ? AT_EMPTY_PATH : link_flag(where);
  TRY_VOID(base::check(::fstatat(where.dir, where.name.c_str(), &st, flags | AT_NO_AUTOMOUNT)));
  return st;
}

base::Result<base::Fd> open_beneath(int dir, const char* path, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  for (;;) {
    long fd = ::syscall(SYS_openat2, dir, path, &how, sizeof how);
    if (fd >= 0) return base::Fd(static_cast<int>(fd));
    if (errno != EAGAIN) return base::fail_errno();  // EAGAIN: a rename raced with the look-up
  }
}

base::Result<base::Fd> open(const Where& where, int flags, mode_t mode) {
  int extra = O_CLOEXEC | (where.magic ? 0 : O_NOFOLLOW);
  if (!(flags & O_PATH)) extra |= O_NONBLOCK | O_NOCTTY;
  int fd = ::openat(where.dir, where.name.c_str(), flags | extra, mode);
  if (fd < 0) return base::fail_errno();
  return base::Fd(fd);
}

base::Result<std::string> readlink(const Where& where) {
  char buffer[PATH_MAX];
  ssize_t n = ::readlinkat(where.dir, where.name.c_str(), buffer, sizeof buffer);
  if (n < 0) return base::fail_errno();
  return std::string(buffer, static_cast<std::size_t>(n));
}

base::Result<std::string> get_xattr(const Where& where, const char* key, std::size_t limit) {
  std::string value(std::min<std::size_t>(limit, 256), '\0');
  long n = raw_get(where, key, value.data(), value.size());
  if (n < 0 && errno == ERANGE && limit > value.size()) {
    value.resize(limit);
    n = raw_get(where, key, value.data(), value.size());
  }
  if (n < 0) return base::fail_errno();
  value.resize(static_cast<std::size_t>(n));
  return value;
}

base::Result<std::size_t> xattr_size(const Where& where, const char* key) {
  long n = raw_get(where, key, nullptr, 0);
  if (n < 0) return base::fail_errno();
  return static_cast<std::size_t>(n);
}

base::Result<std::string> list_xattr(const Where& where) {
  char small[512];
  long n = raw_list(where, small, sizeof small);
  if (n >= 0) return std::string(small, static_cast<std::size_t>(n));
  if (errno == EOPNOTSUPP) return std::string();
  if (errno != ERANGE) return base::fail_errno();
  std::string list(XATTR_LIST_MAX, '\0');
  n = raw_list(where, list.data(), list.size());
  if (n < 0) return base::fail_errno();
  list.resize(static_cast<std::size_t>(n));
  return list;
}

base::Result<> set_xattr(const Where& where, const char* key, std::string_view value, int flags) {
  if (have_xattrat()) {
    XattrArgs args{reinterpret_cast<std::uint64_t>(value.data()),
                   static_cast<std::uint32_t>(value.size()), static_cast<std::uint32_t>(flags)};
    return base::check(::syscall(kSetxattrat, where.dir, where.name.c_str(), link_flag(where), key,
                                 &args, sizeof args));
  }
  auto path = old_path(where);
  return base::check(where.magic
                         ? ::setxattr(path.c_str(), key, value.data(), value.size(), flags)
                         : ::lsetxattr(path.c_str(), key, value.data(), value.size(), flags));
}

base::Result<> remove_xattr(const Where& where, const char* key) {
  if (have_xattrat())
    return base::check(
        ::syscall(kRemovexattrat, where.dir, where.name.c_str(), link_flag(where), key));
  auto path = old_path(where);
  return base::check(where.magic ? ::removexattr(path.c_str(), key)
                                 : ::lremovexattr(path.c_str(), key));
}

base::Result<> chown(const Where& where, uid_t uid, gid_t gid) {
  int flags = where.name.empty() ? AT_EMPTY_PATH : link_flag(where);
  return base::check(::fchownat(where.dir, where.name.c_str(), uid, gid, flags));
}

base::Result<> chmod(const Where& where, mode_t mode) {
  if (where.magic) return base::check(::chmod(where.name.c_str(), mode));
  // fchmodat2 (Linux 6.6) takes AT_SYMLINK_NOFOLLOW; before it an O_PATH descriptor does the same.
  constexpr long kFchmodat2 = 452;
  static bool have = true;
  if (have) {
    if (::syscall(kFchmodat2, where.dir, where.name.c_str(), mode, AT_SYMLINK_NOFOLLOW) == 0)
      return base::Unit{};
    if (errno != ENOSYS) return base::fail_errno();
    have = false;
  }
  TRY(fd, open(where, O_PATH));
  return chmod(by_fd(fd.get()), mode);
}

base::Result<> set_times(const Where& where, const timespec times[2]) {
  return base::check(::utimensat(where.dir, where.name.c_str(), times, link_flag(where)));
}

Where by_fd(int fd) {
  return {AT_FDCWD, "/proc/self/fd/" + std::to_string(fd), true};
}

namespace detail {

base::Result<> rewind(int dir) {
  return base::check(::lseek(dir, 0, SEEK_SET));
}

base::Result<std::span<const std::byte>> next_entries(int dir, std::span<std::byte> buffer) {
  long n = ::syscall(SYS_getdents64, dir, buffer.data(), buffer.size());
  if (n < 0) return base::fail_errno();
  return std::span<const std::byte>(buffer.data(), static_cast<std::size_t>(n));
}

bool next_entry(std::span<const std::byte>& rest, Entry& out) {
  while (!rest.empty()) {
    const auto* raw = reinterpret_cast<const dirent64*>(rest.data());
    rest = rest.subspan(raw->d_reclen);
    std::string_view name(raw->d_name);
    if (name == "." || name == "..") continue;
    out = {name, raw->d_type, raw->d_ino};
    return true;
  }
  return false;
}

}  // namespace detail

}  // namespace ring::at
