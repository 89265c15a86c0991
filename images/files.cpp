#include "images/files.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/io.hpp"

namespace images {
namespace {

// Until here the file was only named: opening a fifo or a device does something.
base::Result<base::Fd> open_named(base::Fd named) {
  if (!named.valid()) return base::fail_errno();
  struct stat status {};
  TRY_VOID(base::check(::fstat(named.get(), &status)));
  if (!S_ISREG(status.st_mode)) return base::fail(EMEDIUMTYPE);
  const std::string again = "/proc/self/fd/" + std::to_string(named.get());
  base::Fd file(::open(again.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) return base::fail_errno();
  return file;
}

}  // namespace

base::Result<base::Fd> open_in_root(int root_fd, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return open_named(
      base::Fd(static_cast<int>(::syscall(SYS_openat2, root_fd, path.c_str(), &how, sizeof how))));
}

base::Result<base::Fd> open_regular(const std::string& path) {
  return open_named(base::Fd(::open(path.c_str(), O_PATH | O_CLOEXEC)));
}

base::Checked<std::string> read_text(int fd, std::size_t limit, const std::string& where) {
  auto text = base::read_all(fd, limit);
  if (text) return std::move(*text);
  if (text.error().value == EFBIG)
    return base::refuse(where + ": is larger than " + std::to_string(limit >> 10) + " KiB");
  return base::refuse(where + ": " + std::strerror(text.error().value));
}

base::Checked<std::string> read_text_in(int root_fd, const std::string& path, std::size_t limit,
                                        const std::string& where) {
  auto file = open_in_root(root_fd, path);
  if (!file) return base::refuse(where + ": " + reason(file.error()));
  return read_text(file->get(), limit, where);
}

bool is_fuse(int fd) {
  struct statfs system {};
  return ::fstatfs(fd, &system) == 0 && system.f_type == FUSE_SUPER_MAGIC;
}

std::string reason(base::Errno error) {
  return error.value == EMEDIUMTYPE ? "is not a regular file" : std::strerror(error.value);
}

}  // namespace images
