#include "seccomp/task_path.hpp"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "seccomp/remote_file.hpp"
#include "seccomp/tracee.hpp"

namespace seccomp {
namespace {

std::string task_link(pid_t tid, int dirfd) {
  std::string task = "/proc/" + std::to_string(tid);
  return dirfd == AT_FDCWD ? task + "/cwd" : task + "/fd/" + std::to_string(dirfd);
}

// The text of a link of /proc. It is made of names in the kernel's memory: nobody is asked.
std::string text_of(const std::string& link) {
  std::array<char, PATH_MAX> text;
  ssize_t size = ::readlink(link.c_str(), text.data(), text.size());
  return size < 0 ? "" : std::string(text.data(), static_cast<std::size_t>(size));
}

// The kernel tells of a task's directory from our root, or from that of the task's mount namespace
// if ours does not reach it. The same from the task's own root; "": it is not below that.
std::string from_root(std::string dir, std::string root) {
  if (root == "/" || dir.empty()) return dir;
  if (!dir.starts_with(root)) return "";
  dir.erase(0, root.size());
  if (dir.empty()) return "/";
  return dir[0] == '/' ? dir : "";
}

// ELOOP is what a magic link gives; a loop of plain ones gets the same answer from the kernel when
// the task makes the call itself. EAGAIN: something was renamed on the way, again and again.
base::Result<base::Fd> of_path(base::Result<base::Fd> found) {
  if (!found && (found.error().value == ELOOP || found.error().value == EAGAIN))
    return base::fail(EXDEV);
  return found;
}

}  // namespace

std::optional<std::pair<std::string, std::string>> split_path(std::string path) {
  const std::size_t slash = path.rfind('/');
  std::string name = slash == path.npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") return std::nullopt;
  std::string folder = slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  return std::pair{std::move(folder), std::move(name)};
}

ring::Task<base::Result<base::Fd>> Tracees::open_path(pid_t tid, int dirfd, std::string path,
                                                      int flags) {
  ring::Reactor& reactor = reactor_of();
  const std::uint64_t how = O_PATH | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0);
  const std::string link = task_link(tid, dirfd);
  if (path.empty() && !(flags & AT_EMPTY_PATH)) co_return base::fail(ENOENT);
  if (names_itself(path)) co_return base::fail(EXDEV);
  Turns::Turn its;
  const bool mine = co_await turn(Kind::open, tid, its);
  if (!mine) co_return base::fail(ESRCH);
  base::Fd from;
  if (path.empty() || path[0] != '/') {
    const std::uint64_t kind = path.empty() ? O_PATH : O_PATH | O_DIRECTORY;
    auto opened = co_await open_file(reactor, AT_FDCWD, link, kind);
    if (!opened)
      co_return base::fail(opened.error().value == ENOENT ? EBADF : opened.error().value);
    from = std::move(*opened);
    if (path.empty()) co_return from;
    auto found = co_await open_file(reactor, from.get(), path, how, kBeneath);
    if (found || found.error().value != EXDEV) co_return of_path(std::move(found));
  }
  const std::string root_link = "/proc/" + std::to_string(tid) + "/root";
  CO_TRY(root, co_await open_file(reactor, AT_FDCWD, root_link, O_PATH | O_DIRECTORY));
  if (from.valid()) {  // it leaves the directory by ".." or an absolute link
    const std::string dir = from_root(text_of(link), text_of(root_link));
    if (dir.empty() || dir[0] != '/') co_return base::fail(EXDEV);
    auto same = co_await open_file(reactor, root.get(), dir, O_PATH | O_DIRECTORY, kInRoot);
    if (!same) co_return base::fail(EXDEV);
    CO_TRY(one, co_await stat_file(reactor, from.get()));
    CO_TRY(other, co_await stat_file(reactor, same->get()));
    if (one.stx_ino != other.stx_ino || one.stx_dev_major != other.stx_dev_major ||
        one.stx_dev_minor != other.stx_dev_minor)
      co_return base::fail(EXDEV);
    path = dir + "/" + path;
    if (path.size() >= PATH_MAX) co_return base::fail(EXDEV);
  }
  auto found = co_await open_file(reactor, root.get(), path, how, kInRoot);
  co_return of_path(std::move(found));
}

}  // namespace seccomp
