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
  std::string text;
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::refuse(where + ": " + std::strerror(errno));
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > limit)
      return base::refuse(where + ": is larger than " + std::to_string(limit >> 10) + " KiB");
  }
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
