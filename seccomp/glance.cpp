#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "ring/chain.hpp"
#include "seccomp/remote_file.hpp"
#include "seccomp/task_path.hpp"
#include "seccomp/tracee.hpp"

namespace seccomp {
namespace {

constexpr std::size_t kPage = 4096;

// A path that ends so leads the kernel to ask the file system of a directory whether it is still
// the same, which a dead server does not answer.
bool ends_in_a_jump(std::string_view path) {
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  return path.empty() || path == ".." || path.ends_with("/..");
}

// By names that the kernel remembers, as they are: no file system is asked for anything.
base::Result<base::Fd> open_remembered(int from, const std::string& path, std::uint64_t flags,
                                       std::uint64_t resolve) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = resolve | RESOLVE_CACHED;
  const long fd = ::syscall(SYS_openat2, from, path.c_str(), &how, sizeof how);
  if (fd >= 0) return base::Fd(static_cast<int>(fd));
  // EINVAL: Linux before 5.12 has no RESOLVE_CACHED.
  return base::fail(errno == EINVAL ? EAGAIN : errno);
}

base::Result<Tracees::FileOwner> owner_remembered(int file) {
  struct statx found;
  const int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
  if (::statx(file, "", flags, STATX_UID | STATX_GID, &found) != 0) return base::fail(EAGAIN);
  return Tracees::FileOwner{found.stx_uid, found.stx_gid};
}

}  // namespace

ring::Task<base::Result<Tracees::Begun>> Tracees::begin_at(pid_t tid, std::string place,
                                                           std::optional<std::uint64_t> address) {
  Turns::Turn its;
  const bool mine = co_await turn(Kind::read, tid, its);
  if (!mine) co_return base::fail(ESRCH);
  ring::FileSlot memory(reactor_of());
  if (address && (!memory.valid() || *address > INT64_MAX)) co_return base::fail(EAGAIN);
  const std::string task = "/proc/" + std::to_string(tid) + "/";
  const std::string memory_path = task + "mem", place_path = task + place;
  std::array<char, kPage> text;
  open_how for_reading{}, for_place{};
  for_reading.flags = O_RDONLY;
  for_place.flags = O_PATH | O_CLOEXEC;
  ring::Chain chain(reactor_of());
  unsigned reading = 0;
  const std::size_t size = kPage - address.value_or(0) % kPage;
  if (address) {
    ring::Op open = opening(AT_FDCWD, memory_path, for_reading);
    memory.receive(open);
    chain.add(open);
    ring::Op read =
        transferring(IORING_OP_READ, *address, std::as_bytes(std::span(text).first(size)));
    memory.use(read);
    reading = chain.add(read);
  }
  const unsigned placing = chain.add(opening(AT_FDCWD, place_path, for_place));
  co_await chain.wait();
  const int opened = chain.result(placing);
  if (opened == -ECANCELED) {
    const int got = chain.result(reading);
    co_return base::fail(got == -EFAULT || got == -EIO ? EFAULT : EAGAIN);
  }
  if (opened < 0) co_return base::fail(opened == -ENOENT ? EBADF : EAGAIN);
  Begun begun;
  begun.from = base::Fd(opened);
  if (address) {  // the chain goes on behind a whole reading only
    const std::string_view read(text.data(), size);
    const std::size_t end = read.find('\0');
    if (end == read.npos) co_return base::fail(EAGAIN);
    begun.path = read.substr(0, end);
  }
  co_return begun;
}

ring::Task<base::Result<Tracees::FileOwner>> Tracees::glance(pid_t tid, int dirfd,
                                                             std::optional<std::uint64_t> address,
                                                             int flags) {
  // Where a path starts is not known before it has been read; a thread goes on as it did.
  const std::size_t habit = static_cast<std::size_t>(tid) % starts_at_root_.size();
  std::string place = starts_at_root_[habit] && address ? "root" : "cwd";
  if (dirfd != AT_FDCWD) place = "fd/" + std::to_string(dirfd);
  auto started = begin_at(tid, place, address);
  auto begun = co_await std::move(started);
  if (!begun) co_return base::fail(begun.error().value);
  const std::string& path = begun->path;
  const bool absolute = path.starts_with('/');
  if (address && dirfd == AT_FDCWD && !path.empty()) starts_at_root_[habit] = absolute;
  const std::string needed = absolute ? "root" : dirfd == AT_FDCWD ? "cwd" : place;
  if (needed != place) {
    auto again = begin_at(tid, needed, std::nullopt);
    auto from = co_await std::move(again);
    if (!from) co_return base::fail(from.error().value);
    begun->from = std::move(from->from);
  }
  if (path.empty()) {
    if (!(flags & AT_EMPTY_PATH)) co_return base::fail(ENOENT);
    co_return owner_remembered(begun->from.get());
  }
  if (names_itself(path)) co_return base::fail(EAGAIN);
  const std::uint64_t how = O_PATH | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0);
  const std::uint64_t resolve = absolute ? kInRoot : kBeneath;
  const int from = begun->from.get();
  base::Result<base::Fd> file = base::fail(EAGAIN);
  if (!ends_in_a_jump(path)) file = open_remembered(from, path, how, resolve);
  if (!file && file.error().value == EAGAIN) {  // nobody has been there lately
    Turns::Turn its;
    const bool mine = co_await turn(Kind::open, tid, its);
    if (!mine) co_return base::fail(ESRCH);
    auto opened = open_file(reactor_of(), from, path, how, resolve);
    file = co_await std::move(opened);
  }
  if (file) co_return owner_remembered(file->get());
  // It leaves where it starts, or there is a magic link on the way.
  const bool unsure = file.error().value == EXDEV || file.error().value == ELOOP;
  co_return base::fail(unsure ? EAGAIN : file.error().value);
}

}  // namespace seccomp
