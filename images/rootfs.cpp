#include "images/rootfs.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "images/files.hpp"

namespace images {
bool read_account_file(int root_fd, AccountFile kind, FoundIds& found) {
  const std::string path(kAccountPaths[static_cast<std::size_t>(kind)]);
  auto file = open_in_root(root_fd, path);
  if (!file && (file.error().value == ENOENT || file.error().value == ENOTDIR)) return false;
  if (!file) {
    found.note("/" + path + ": " + reason(file.error()));
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
