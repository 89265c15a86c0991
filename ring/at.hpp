// Owns: nothing. Called by: fusefs, for everything it does to a layer by name.
// Never: follows a symbolic link, and never takes a path of more than one component except
// open_beneath. These are inline calls: warm local metadata costs the ring five times what the
// plain call costs.
#pragma once
#include <sys/stat.h>
#include <sys/types.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace ring::at {

/// A file by (open directory, one name in it). name "" means the descriptor itself; for xattrs and
/// opens of a directory use ".". `magic`: name is a /proc/self/fd link, the one kind of link that
/// is followed.
struct Where {
  int dir = -1;
  std::string name;
  bool magic = false;
};

base::Result<struct stat> stat(const Where& where);
/// openat2 with RESOLVE_BENEATH|NO_SYMLINKS|NO_MAGICLINKS: `path` may have several components.
base::Result<base::Fd> open_beneath(int dir, const char* path, int flags);
/// openat of one name with O_NOFOLLOW|O_CLOEXEC|O_NONBLOCK added (a fifo must not block the
/// reactor).
base::Result<base::Fd> open(const Where& where, int flags, mode_t mode = 0);
base::Result<std::string> readlink(const Where& where);

/// getxattr(2) family by (directory, name): the *xattrat calls of Linux 6.13, or /proc/self/fd
/// before it. The value; ERANGE when it is longer than `limit` bytes.
base::Result<std::string> get_xattr(const Where& where, const char* key, std::size_t limit);
/// Length of the value only.
base::Result<std::size_t> xattr_size(const Where& where, const char* key);
/// The NUL-separated list of names, empty where the file system has no xattrs.
base::Result<std::string> list_xattr(const Where& where);
base::Result<> set_xattr(const Where& where, const char* key, std::string_view value,
                         int flags = 0);
base::Result<> remove_xattr(const Where& where, const char* key);

/// lchown(2), chmod(2) (never through a link), utimensat(2).
base::Result<> chown(const Where& where, uid_t uid, gid_t gid);
base::Result<> chmod(const Where& where, mode_t mode);
base::Result<> set_times(const Where& where, const timespec times[2]);

/// "/proc/self/fd/N": reaches an unlinked or O_PATH file once more.
Where by_fd(int fd);

/// Entries of a directory, "." and ".." left out.
struct Entry {
  std::string_view name;
  unsigned char type;  // DT_*
  std::uint64_t ino;
};
/// Calls `each` for every entry until it returns false. `dir` must be readable (not O_PATH) and is
/// rewound.
template <class Each>
base::Result<> for_each_entry(int dir, Each&& each);

namespace detail {
base::Result<std::span<const std::byte>> next_entries(int dir, std::span<std::byte> buffer);
base::Result<> rewind(int dir);
bool next_entry(std::span<const std::byte>& rest, Entry& out);
}  // namespace detail

template <class Each>
base::Result<> for_each_entry(int dir, Each&& each) {
  TRY_VOID(detail::rewind(dir));
  constexpr std::size_t kSize = 32 * 1024;  // most directories touch a page of it
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kSize);
  for (;;) {
    TRY(rest, detail::next_entries(dir, {buffer.get(), kSize}));
    if (rest.empty()) return base::Unit{};
    for (Entry entry; detail::next_entry(rest, entry);)
      if (!each(entry)) return base::Unit{};
  }
}

}  // namespace ring::at
