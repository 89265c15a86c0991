// Operations on open files: open, create, data, locks of space, ioctl.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "fusefs/op_table.hpp"

namespace fusefs {

namespace at = ring::at;

namespace {

fuse_open_out opened(Overlay& fs, std::shared_ptr<OpenFile> file) {
  fuse_open_out out{};
  // The kernel that asks for no open tells no release either, of what was created neither.
  if (fs.opens_unasked) {
    out.fh = kNoHandle;
    fs.keep_unannounced(std::move(file));
  } else {
    out.fh = fs.handles().add(std::move(file));
  }
  // Nobody else writes to the layers: what the kernel has cached stays true.
  out.open_flags = FOPEN_KEEP_CACHE;
  return out;
}

enum class For : std::uint8_t { reading, writing };

base::Result<std::shared_ptr<OpenFile>> file_of(Overlay& fs, Node* node, std::uint64_t fh,
                                                For what = For::reading) {
  auto file = fs.handles().find(fh);
  const bool known = file && file->node.get() == node;
  if (!known && fh == kNoHandle && node) return fs.unannounced(node, what == For::writing);
  if (!known) return base::fail(EBADF);
  TRY_VOID(fs.reopen(*file));
  if (!file->fd) return base::fail(EBADF);
  return file;
}

// How much of a read is answered from the page cache; 0 where it is not worth it or not sure.
std::size_t cached_part(OpenFile& file, std::uint64_t offset, std::size_t size) {
  constexpr std::size_t kWorthIt = 32 * 1024;
  constexpr long kCachestat = 451;  // Linux 6.5
  constexpr std::uint64_t kPage = 4096;
  struct Range {
    std::uint64_t offset, length;
  };
  struct Cached {
    std::uint64_t pages, dirty, writeback, evicted, recently_evicted;
  };
  if (size < kWorthIt) return 0;
  // Where the file has become shorter since, there are no pages; who takes less than was promised
  // out of the last one reads again.
  if (offset >= file.size_seen || file.size_seen - offset < size) {
    struct stat st;
    if (::fstat(file.fd->get(), &st) != 0) return 0;
    file.size_seen = static_cast<std::uint64_t>(st.st_size);
  }
  const std::uint64_t end = file.size_seen;
  if (offset >= end || end - offset < kWorthIt) return 0;
  std::size_t length = std::min<std::uint64_t>(size, end - offset);
  Range range{offset, length};
  Cached cached{};
  if (::syscall(kCachestat, file.fd->get(), &range, &cached, 0u) != 0) return 0;
  std::uint64_t pages = (offset + length + kPage - 1) / kPage - offset / kPage;
  return cached.pages >= pages ? length : 0;
}

bool may_write(const OpenFile& file) {
  return (file.flags & O_ACCMODE) != O_RDONLY;
}

// Before the first change through a descriptor that was opened for writing.
ring::Task<Done> ready_to_write(Overlay& fs, Node* node, const OpenFile& file) {
  if (!may_write(file)) co_return base::fail(EBADF);
  if (fs.in_upper(node)) co_return base::Unit{};
  co_return co_await fs.copy_up(node);
}

}  // namespace

// Opening for writing copies nothing up yet: many who open so only look or lock, and O_TRUNC, which
// comes as a setattr of its own, must not copy what it throws away. The first write does it; where
// the kernel collects writes, an error then shows at fsync(2) or close(2) as that of any write.
// (ATOMIC_O_TRUNC would bring O_TRUNC here, but the kernel drops its pages only after it has
// unlocked the file: what another process had written out in between stayed on disk behind the new
// end.)
Done on_open(Overlay& fs, Request& request, Answer& answer) {
  auto in = request.reader().take<fuse_open_in>();
  Node* node = request.node;
  if (node->is_dir()) return base::fail(EISDIR);
  bool writes = (in->flags & O_ACCMODE) != O_RDONLY;
  if (writes && !fs.stack().writable) return base::fail(EROFS);
  bool later = writes && !fs.in_upper(node);
  // The kernel asks for no open and no release any more: requests name the node alone.
  if (fs.opens_unasked && node->type == identity::NodeType::file) return base::fail(ENOSYS);
  TRY(file, fs.open(node, later ? O_RDONLY : static_cast<int>(in->flags & O_ACCMODE)));
  if (later) file->flags = O_RDWR;
  answer.put(opened(fs, std::move(file)));
  return base::Unit{};
}

Done on_create(Overlay& fs, Request& request, Answer& answer) {
  auto reader = request.reader();
  auto in = reader.take<fuse_create_in>();
  auto name = reader.take_string();
  if (!name) return base::fail(EINVAL);
  NewFile what{.mode = S_IFREG | (in->mode & 07777), .umask = in->umask, .rdev = 0, .target = {}};
  base::Fd fd;
  auto made = fs.create(request.node, *name, what, caller_of(fs, request), &fd);
  // There, though the kernel thought not: ESTALE makes it look the name up again and open that.
  if (!made && made.error().value == EEXIST && !(in->flags & O_EXCL)) return base::fail(ESTALE);
  TRY(entry, std::move(made));
  auto file = std::make_shared<OpenFile>(fs.nodes(), entry.node);
  file->fd = std::make_shared<const base::Fd>(std::move(fd));
  file->flags = O_RDWR;
  answer.put(to_entry(fs, entry));
  answer.put(opened(fs, std::move(file)));
  return base::Unit{};
}

// Made before, and the answer was lost.
Done again_open(Overlay& fs, Request& request, Answer& answer) {
  auto reader = request.reader();
  reader.take<fuse_create_in>();
  auto name = reader.take_string();
  if (!name) return base::fail(EINVAL);
  TRY(entry, fs.lookup(request.node, *name));
  TRY(file, fs.open(entry.node, O_RDWR));
  answer.put(to_entry(fs, entry));
  answer.put(opened(fs, std::move(file)));
  return base::Unit{};
}

Done on_tmpfile(Overlay& fs, Request& request, Answer& answer) {
  auto in = request.reader().take<fuse_create_in>();
  NewFile what{.mode = S_IFREG | (in->mode & 07777), .umask = in->umask, .rdev = 0, .target = {}};
  base::Fd fd;
  TRY(entry, fs.create_unnamed(request.node, what, caller_of(fs, request), &fd));
  auto file = std::make_shared<OpenFile>(fs.nodes(), entry.node);
  file->fd = std::make_shared<const base::Fd>(std::move(fd));
  file->flags = O_RDWR;
  answer.put(to_entry(fs, entry));
  answer.put(opened(fs, std::move(file)));
  return base::Unit{};
}

ring::Task<Done> on_read(Overlay& fs, Request& request, Answer& answer) {
  fuse_read_in in = *request.reader().take<fuse_read_in>();
  CO_TRY(file, file_of(fs, request.node, in.fh));
  SharedFd fd = file->fd;  // copy-up may replace the file's own while the read is under way
  if (std::size_t cached = cached_part(*file, in.offset, in.size)) {
    answer.put(Slice{fd, static_cast<off_t>(in.offset), cached});
    co_return base::Unit{};
  }
  Buffer data = request.buffers->take();
  std::size_t want = std::min<std::size_t>(in.size, request.buffers->size());
  ssize_t got = co_await fs.io().read(fd->get(), data.get(), want, static_cast<off_t>(in.offset));
  if (got < 0) co_return base::fail(static_cast<int>(-got));
  answer.put(std::move(data), static_cast<std::size_t>(got));
  co_return base::Unit{};
}

ring::Task<Done> on_write(Overlay& fs, Request& request, Answer& answer) {
  auto reader = request.reader();
  fuse_write_in in = *reader.take<fuse_write_in>();
  auto data = reader.take_bytes(in.size);
  if (!data) co_return base::fail(EINVAL);
  CO_TRY(file, file_of(fs, request.node, in.fh, For::writing));
  CO_TRY_VOID(co_await ready_to_write(fs, request.node, *file));
  if (in.write_flags & FUSE_WRITE_KILL_SUIDGID)
    CO_TRY_VOID(kill_privileges(fs, request, request.node));
  SharedFd fd = file->fd;
  // A write-back: the kernel keeps the file's times and tells us of each change by a setattr. Ours
  // must not move them, or the file would show another time once the kernel has forgotten it.
  struct stat before;
  bool keep_time = in.write_flags & FUSE_WRITE_CACHE && ::fstat(fd->get(), &before) == 0;
  ssize_t put =
      co_await fs.io().write(fd->get(), data->data(), data->size(), static_cast<off_t>(in.offset));
  if (put < 0) co_return base::fail(static_cast<int>(-put));
  if (keep_time) {
    const timespec times[2] = {{0, UTIME_OMIT}, before.st_mtim};
    ::futimens(fd->get(), times);
  }
  fuse_write_out out{};
  out.size = static_cast<std::uint32_t>(put);
  answer.put(out);
  co_return base::Unit{};
}

Done on_release(Overlay& fs, Request& request, Answer&) {
  auto in = request.reader().take<fuse_release_in>();
  auto file = fs.handles().find(in->fh);
  if (!file && in->fh == kNoHandle) return base::Unit{};  // created before the first open
  if (!file || file->node.get() != request.node) return base::fail(EBADF);
  Change change(fs.ledger(), {.act = Act::release, .unique = request.unique(), .handle = in->fh});
  fs.handles().remove(in->fh);
  change.happened();
  return base::Unit{};
}

ring::Task<Done> on_fsync(Overlay& fs, Request& request, Answer&) {
  fuse_fsync_in in = *request.reader().take<fuse_fsync_in>();
  if (!fs.options().sync) co_return base::fail(ENOSYS);
  CO_TRY(file, file_of(fs, request.node, in.fh));
  SharedFd fd = file->fd;
  if (!fs.in_upper(request.node)) co_return base::Unit{};
  int rc = co_await fs.io().sync(fd->get(), in.fsync_flags & FUSE_FSYNC_FDATASYNC);
  co_return rc < 0 ? base::fail(-rc) : Done{base::Unit{}};
}

ring::Task<Done> on_fallocate(Overlay& fs, Request& request, Answer&) {
  fuse_fallocate_in in = *request.reader().take<fuse_fallocate_in>();
  CO_TRY(file, file_of(fs, request.node, in.fh, For::writing));
  CO_TRY_VOID(co_await ready_to_write(fs, request.node, *file));
  // With HANDLE_KILLPRIV_V2 the kernel leaves this to us and does not say who may keep the bits.
  if (!caller_of(fs, request).privileged) CO_TRY_VOID(kill_privileges(fs, request, request.node));
  SharedFd fd = file->fd;
  int rc = co_await fs.io().allocate(fd->get(), static_cast<int>(in.mode),
                                     static_cast<off_t>(in.offset), static_cast<off_t>(in.length));
  co_return rc < 0 ? base::fail(-rc) : Done{base::Unit{}};
}

Done on_lseek(Overlay& fs, Request& request, Answer& answer) {
  auto in = request.reader().take<fuse_lseek_in>();
  TRY(file, file_of(fs, request.node, in->fh));
  if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE) return base::fail(EINVAL);
  off_t found =
      ::lseek(file->fd->get(), static_cast<off_t>(in->offset), static_cast<int>(in->whence));
  TRY_VOID(base::check(found));
  fuse_lseek_out out{};
  out.offset = static_cast<std::uint64_t>(found);
  answer.put(out);
  return base::Unit{};
}

// A part of what was asked for is a legal answer: no request holds the others up for long. What is
// not in the page cache goes through a kernel worker.
ring::Task<Done> on_copy_file_range(Overlay& fs, Request& request, Answer& answer) {
  constexpr std::size_t kPiece = 1024 * 1024;
  fuse_copy_file_range_in in = *request.reader().take<fuse_copy_file_range_in>();
  CO_TRY(from, file_of(fs, request.node, in.fh_in));
  Node* target = fs.nodes().find(in.nodeid_out);
  CO_TRY(to, file_of(fs, target, in.fh_out, For::writing));
  CO_TRY_VOID(co_await ready_to_write(fs, target, *to));
  if (!caller_of(fs, request).privileged) CO_TRY_VOID(kill_privileges(fs, request, target));
  SharedFd source = from->fd, sink = to->fd;
  auto in_at = static_cast<off_t>(in.off_in), out_at = static_cast<off_t>(in.off_out);
  std::size_t want = std::min<std::uint64_t>(in.len, kPiece);
  ssize_t n;
  if (cached_part(*from, in.off_in, want)) {
    n = ::copy_file_range(source->get(), &in_at, sink->get(), &out_at, want,
                          static_cast<unsigned>(in.flags));
    CO_TRY_VOID(base::check(n));
  } else {
    Buffer data = request.buffers->take();
    want = std::min(want, request.buffers->size());
    n = co_await fs.io().read(source->get(), data.get(), want, in_at);
    if (n > 0)
      n = co_await fs.io().write(sink->get(), data.get(), static_cast<std::size_t>(n), out_at);
    if (n < 0) co_return base::fail(static_cast<int>(-n));
  }
  fuse_write_out out{};
  out.size = static_cast<std::uint32_t>(n);
  answer.put(out);
  co_return base::Unit{};
}

Done on_syncfs(Overlay& fs, Request&, Answer&) {
  if (!fs.stack().writable || !fs.options().sync) return base::Unit{};
  TRY(fd, at::open({fs.stack().layers[0].root.get(), "."}, O_RDONLY | O_DIRECTORY));
  return base::check(::syncfs(fd.get()));
}

namespace {

struct IoctlRow {
  unsigned long command;
  std::uint32_t size;
  bool sets;
};
constexpr IoctlRow kIoctls[] = {
    {FS_IOC_GETFLAGS, sizeof(int), false},      {FS_IOC_SETFLAGS, sizeof(int), true},
    {FS_IOC_GETVERSION, sizeof(int), false},    {FS_IOC_FSGETXATTR, sizeof(fsxattr), false},
    {FS_IOC_FSSETXATTR, sizeof(fsxattr), true},
};

// A daemon of the initial root may set what a container's user may not: immutable, append-only, and
// ext4's data journal.
bool reserved(const IoctlRow& row, const std::byte* data) {
  if (row.command == FS_IOC_SETFLAGS) {
    int flags;
    std::memcpy(&flags, data, sizeof flags);
    return flags & (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_JOURNAL_DATA_FL);
  }
  fsxattr attr;
  std::memcpy(&attr, data, sizeof attr);
  return attr.fsx_xflags & (FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND);
}

}  // namespace

ring::Task<Done> on_ioctl(Overlay& fs, Request& request, Answer& answer) {
  auto reader = request.reader();
  fuse_ioctl_in in = *reader.take<fuse_ioctl_in>();
  Node* node = request.node;
  Pin pin(fs.nodes(), node);
  const IoctlRow* row = std::find_if(std::begin(kIoctls), std::end(kIoctls),
                                     [&](const IoctlRow& r) { return r.command == in.cmd; });
  if (row == std::end(kIoctls)) co_return base::fail(ENOTTY);
  if (node->type != identity::NodeType::file && !node->is_dir()) co_return base::fail(ENOTTY);
  alignas(8) std::byte data[sizeof(fsxattr)] = {};
  if (row->sets) {
    auto given = reader.take_bytes(row->size);
    if (!given) co_return base::fail(EINVAL);
    std::memcpy(data, given->data(), row->size);
    if (!caller_of(fs, request).privileged && reserved(*row, data)) co_return base::fail(EPERM);
    if (!fs.in_upper(node)) CO_TRY_VOID(co_await fs.copy_up(node));
  } else if (in.out_size < row->size) {
    co_return base::fail(EINVAL);
  }
  CO_TRY(where, fs.locate(node));
  CO_TRY(fd, at::open(where, O_RDONLY));
  CO_TRY_VOID(base::check(::ioctl(fd.get(), row->command, data)));
  fuse_ioctl_out out{};
  answer.put(out);
  if (!row->sets) answer.put(std::string(reinterpret_cast<char*>(data), row->size));
  co_return base::Unit{};
}

}  // namespace fusefs
