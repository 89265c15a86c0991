#include "seccomp/on_engine.hpp"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "seccomp/store_places.hpp"
#include "seccomp/supervisor.hpp"
#include "seccomp/task_path.hpp"

namespace seccomp {
namespace {

// What a call names a file by.
struct Named {
  int directory = AT_FDCWD;
  std::uint64_t path = 0;  // its address
  bool has_path = false;
  int flags = 0;  // AT_*
};

Named named(const Call& call) {
  const auto& arg = call.notice.arguments;
  const Where& where = call.row->where;
  Named as;
  if (where.directory >= 0) as.directory = static_cast<int>(arg[where.directory]);
  if (where.flags >= 0) as.flags = static_cast<int>(arg[where.flags]);
  if (where.no_follow) as.flags |= AT_SYMLINK_NOFOLLOW;
  if (where.path >= 0) as.path = arg[where.path];
  // Without a path it is the descriptor; since Linux 6.11 with none at all as well as with "".
  as.has_path = where.path >= 0 && (as.path != 0 || !(as.flags & AT_EMPTY_PATH));
  if (where.path < 0) as.flags |= AT_EMPTY_PATH;
  return as;
}

struct Found {
  StoreFile file;
  std::string path;  // as the task said it
  Named as;
};

pid_t engine_pid(const Call& call) {
  return call.container->info.pid > 0 ? call.container->info.pid : call.notice.tid;
}

// Where the stores of the engine are. They may be made by the very command we supervise, so one
// that is not there yet is looked for each time.
ring::Task<bool> know_stores(Call call) {
  auto container = call.container;
  if (!container->places) container->places = std::make_shared<StorePlaces>();
  if (!container->places->empty()) co_return true;
  const pid_t pid = engine_pid(call);
  for (std::string store : call.supervisor.owners->stores()) {
    auto fd = co_await call.supervisor.tracees().open_path(pid, AT_FDCWD, store, 0);
    if (!fd) continue;
    if (auto place = container->places->place(*fd, pid, pid)) container->places->add(*place);
  }
  co_return !container->places->empty();
}

// Only root of the pool is the engine: what a container of his without a namespace of its own does
// as somebody else is judged by the kernel.
bool is_engine(Call& call) {
  auto who = call.supervisor.tracees().credentials(call.notice.tid);
  return who && who->uids.file_system == 0;
}

ring::Task<std::optional<Found>> find(Call call) {
  if (!is_engine(call)) co_return std::nullopt;
  const bool known = co_await know_stores(call);
  if (!known) co_return std::nullopt;
  Tracees& tracees = call.supervisor.tracees();
  const pid_t tid = call.notice.tid;
  Found found;
  found.as = named(call);
  if (found.as.has_path) {
    auto path = co_await tracees.read_path(tid, found.as.path);
    if (!path) co_return std::nullopt;
    found.path = std::move(*path);
  }
  const int flags = found.as.flags & (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
  auto fd = co_await tracees.open_path(tid, found.as.directory, found.path, flags);
  if (!fd) co_return std::nullopt;  // the kernel says what is wrong
  found.file.file = std::move(*fd);
  auto& places = *call.container->places;
  auto place = places.place(found.file.file, tid, engine_pid(call));
  if (!place || !places.contains(*place)) co_return std::nullopt;
  if (::fstatat(found.file.file.get(), "", &found.file.st, AT_EMPTY_PATH) != 0)
    co_return std::nullopt;
  co_return std::optional<Found>(std::move(found));
}

bool is_special(mode_t mode) {
  return !S_ISREG(mode) && !S_ISDIR(mode);
}

// The directory is opened by its path once more, so it is the file's only if it shows the file.
ring::Task<bool> try_name(Call call, Found* found, int directory, std::string path) {
  auto parts = split_path(std::move(path));
  if (!parts) co_return false;
  std::string folder = parts->first;
  auto fd = co_await call.supervisor.tracees().open_path(call.notice.tid, directory, folder, 0);
  if (!fd) co_return false;
  auto place = call.container->places->place(*fd, call.notice.tid, engine_pid(call));
  if (!place) co_return false;  // of a mount of ours, perhaps: not to be touched from here
  struct stat st;
  if (::fstatat(fd->get(), parts->second.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) co_return false;
  if (st.st_ino != found->file.st.st_ino || st.st_dev != found->file.st.st_dev) co_return false;
  found->file.directory = std::move(*fd);
  found->file.name = parts->second;
  co_return true;
}

// A link, fifo, socket or device has its record beside it: by the name that the task used, or for a
// descriptor or a link that was followed by the one that the kernel remembers.
ring::Task<Found> with_name(Call call, Found found) {
  if (!is_special(found.file.st.st_mode)) co_return found;
  const bool done = co_await try_name(call, &found, found.as.directory, found.path);
  if (done) co_return found;
  char text[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(found.file.file.get());
  const ssize_t size = ::readlink(link.c_str(), text, sizeof text);
  if (size > 0 && size < static_cast<ssize_t>(sizeof text)) {
    std::string path(text, static_cast<std::size_t>(size));
    co_await try_name(call, &found, AT_FDCWD, path);
  }
  co_return found;
}

using Owner = std::pair<identity::Id, identity::Id>;

std::vector<std::byte> bytes_of(const void* object, std::size_t size) {
  std::vector<std::byte> bytes(size);
  std::memcpy(bytes.data(), object, size);
  return bytes;
}

mode_t device_mode(mode_t mode, const identity::Device& device) {
  return (device.type == identity::NodeType::block ? S_IFBLK : S_IFCHR) | (mode & 07777);
}

// What the call would have written, with the truth in it. Empty: the kernel shall do it.
std::vector<std::byte> answer_bytes(const Call& call, const Found& found, const Truth& truth) {
  if (call.row->layout == Layout::statx) {
    struct statx st {};
    const int flags = AT_EMPTY_PATH | (found.as.flags & AT_STATX_SYNC_TYPE);
    const auto mask = static_cast<unsigned>(call.notice.arguments[3]);
    if (::statx(found.file.file.get(), "", flags, mask, &st) != 0) return {};
    st.stx_uid = truth.uid;
    st.stx_gid = truth.gid;
    if (truth.device) {
      st.stx_mode = static_cast<std::uint16_t>(device_mode(st.stx_mode, *truth.device));
      st.stx_rdev_major = truth.device->major;
      st.stx_rdev_minor = truth.device->minor;
    }
    return bytes_of(&st, sizeof st);
  }
  struct stat st = found.file.st;
  st.st_uid = truth.uid;
  st.st_gid = truth.gid;
  if (truth.device) {
    st.st_mode = device_mode(st.st_mode, *truth.device);
    st.st_rdev = makedev(truth.device->major, truth.device->minor);
  }
  return bytes_of(&st, sizeof st);
}

// The struct stat that we have ourselves is that of 64-bit programs.
bool can_write(const Call& call) {
  return call.row->layout == Layout::statx ||
         (call.row->layout == Layout::stat && call.notice.arch != AUDIT_ARCH_I386);
}

Owner wanted(const Call& call) {
  const auto first = static_cast<std::size_t>(call.row->where.data);
  return {static_cast<identity::Id>(call.notice.arguments[first]),
          static_cast<identity::Id>(call.notice.arguments[first + 1])};
}

}  // namespace

ring::Task<std::optional<Answer>> engine_stat(Call call) {
  if (!can_write(call)) co_return std::nullopt;
  auto found = co_await find(call);
  if (!found) co_return std::nullopt;
  OwnerSource& owners = *call.supervisor.owners;
  if (!owners.may_differ(found->file.st)) co_return Answer::resume();
  auto file = co_await with_name(call, std::move(*found));
  const Truth truth = owners.truth(file.file);
  const Owner plain{file.file.st.st_uid, file.file.st.st_gid};
  if (!truth.device && Owner{truth.uid, truth.gid} == plain) co_return Answer::resume();
  auto bytes = answer_bytes(call, file, truth);
  if (bytes.empty()) co_return Answer::resume();
  const std::uint64_t buffer = call.notice.arguments[call.row->where.data];
  auto written =
      co_await call.supervisor.tracees().write(call.notice.tid, buffer, bytes, call.still_valid);
  if (!written) co_return Answer::fail(EFAULT);
  co_return Answer::value(0);
}

ring::Task<std::optional<Answer>> engine_chown(Call call) {
  auto found = co_await find(call);
  if (!found) co_return std::nullopt;
  auto file = co_await with_name(call, std::move(*found));
  const Owner owner = wanted(call);
  auto done = call.supervisor.owners->chown(file.file, owner.first, owner.second);
  if (done) co_return Answer::value(0);
  if (done.error().value == ENOENT) co_return Answer::resume();
  co_return Answer::fail(done.error().value);
}

ring::Task<std::optional<Answer>> engine_mknod(Call call, mode_t mode, identity::Device device) {
  if (!is_engine(call)) co_return std::nullopt;
  const bool known = co_await know_stores(call);
  if (!known) co_return std::nullopt;
  Tracees& tracees = call.supervisor.tracees();
  const pid_t tid = call.notice.tid;
  const Named as = named(call);
  auto path = co_await tracees.read_path(tid, as.path);
  auto parts = path ? split_path(std::move(*path)) : std::nullopt;
  if (!parts) co_return std::nullopt;
  std::string folder = parts->first;
  auto directory = co_await tracees.open_path(tid, as.directory, folder, 0);
  if (!directory) co_return std::nullopt;  // the kernel says what is wrong
  auto& places = *call.container->places;
  auto place = places.place(*directory, tid, engine_pid(call));
  if (!place || !places.contains(*place)) co_return std::nullopt;
  auto umask = co_await tracees.status_word(tid, "Umask:");
  mode &= ~static_cast<mode_t>(std::strtoul(umask.c_str(), nullptr, 8));
  if (call.still_valid && !call.still_valid()) co_return Answer::silence();
  auto done = call.supervisor.owners->make_device(*directory, parts->second, mode, device);
  co_return done ? Answer::value(0) : Answer::fail(done.error().value);
}

}  // namespace seccomp
