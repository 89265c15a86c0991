#include "images/rootfs.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/fd.hpp"

namespace images {
namespace {

// `path` as a process with that root directory would resolve it. The first open only names the
// file: a fifo or a device must not be opened at all.
base::Result<base::Fd> open_file(int root_fd, const char* path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  base::Fd named(static_cast<int>(::syscall(SYS_openat2, root_fd, path, &how, sizeof how)));
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

bool read_account_file(int root_fd, AccountFile kind, FoundIds& found) {
  const std::string path(kAccountPaths[static_cast<std::size_t>(kind)]);
  auto file = open_file(root_fd, path.c_str());
  if (!file && (file.error().value == ENOENT || file.error().value == ENOTDIR)) return false;
  if (!file) {
    const bool odd = file.error().value == EMEDIUMTYPE;
    found.note("/" + path + ": " +
               (odd ? "is not a regular file" : std::strerror(file.error().value)));
    return true;
  }
  AccountReader reader(kind, found);
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t got = ::read(file->get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) found.note("/" + path + ": " + std::strerror(errno));
    if (got <= 0 || !reader.feed({buffer.data(), static_cast<std::size_t>(got)})) break;
  }
  reader.finish();
  return true;
}

base::Checked<FoundIds> read_accounts(int root_fd) {
  struct stat status {};
  if (::fstat(root_fd, &status) != 0 || !S_ISDIR(status.st_mode))
    return base::refuse("the root of the image is not a directory");
  FoundIds found;
  for (AccountFile kind :
       {AccountFile::passwd, AccountFile::group, AccountFile::subuid, AccountFile::subgid})
    read_account_file(root_fd, kind, found);
  return found;
}

}  // namespace images
