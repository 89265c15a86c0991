// Operations on attributes: getattr, statx, setattr, statfs.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fusefs/op_table.hpp"

namespace fusefs {

namespace at = ring::at;

namespace {

std::shared_ptr<OpenFile> handle_of(Overlay& fs, const Node* node, bool given, std::uint64_t fh) {
  auto file = given ? fs.handles().find(fh) : nullptr;
  return file && file->node.get() == node ? file : nullptr;
}

timespec wanted_time(std::uint32_t valid, std::uint32_t set, std::uint32_t now,
                     std::uint64_t seconds, std::uint32_t nanoseconds) {
  timespec time{};
  if (valid & now) {
    time.tv_nsec = UTIME_NOW;
  } else if (valid & set) {
    time.tv_sec = static_cast<time_t>(seconds);
    time.tv_nsec = nanoseconds;
  } else {
    time.tv_nsec = UTIME_OMIT;
  }
  return time;
}

Done truncate(Overlay& fs, Node* node, OpenFile* file, std::uint64_t size) {
  if (file && file->fd && (file->flags & O_ACCMODE) != O_RDONLY)
    return base::check(::ftruncate(file->fd->get(), static_cast<off_t>(size)));
  if (node->type != identity::NodeType::file) return base::fail(EINVAL);
  TRY(where, fs.locate(node));
  TRY(fd, at::open(where, O_WRONLY));
  return base::check(::ftruncate(fd.get(), static_cast<off_t>(size)));
}

Done change_owner(Overlay& fs, Node* node, const fuse_setattr_in& in, const Caller& caller) {
  Owner owner{node->uid, node->gid};
  if (in.valid & FATTR_UID) owner.uid = fs.uids().truth(in.uid);
  if (in.valid & FATTR_GID) owner.gid = fs.gids().truth(in.gid);
  if (owner.uid == identity::kNoId || owner.gid == identity::kNoId) return base::fail(EINVAL);
  return fs.set_owner(node, owner, caller);
}

constexpr std::uint32_t kKillSuidgid = 1u << 11;  // FATTR_KILL_SUIDGID, 5.11

}  // namespace

Done on_getattr(Overlay& fs, Request& request, Answer& answer) {
  auto in = request.reader().take<fuse_getattr_in>();
  auto file = handle_of(fs, request.node, in->getattr_flags & FUSE_GETATTR_FH, in->fh);
  TRY(st, fs.stat(request.node, file.get()));
  answer.put(to_attr_out(fs, *request.node, st));
  return base::Unit{};
}

ring::Task<Done> on_setattr(Overlay& fs, Request& request, Answer& answer) {
  fuse_setattr_in in = *request.reader().take<fuse_setattr_in>();
  Node* node = request.node;
  Pin pin(fs.nodes(), node);
  // The kernel writes the time of an unlink back, which nobody can see any more: as long as it
  // knows the file it tells the times itself. No reason to copy the file up, nor to write to disk.
  constexpr std::uint32_t kTimes = FATTR_MTIME | FATTR_CTIME | FATTR_FH | FATTR_LOCKOWNER;
  if (!(in.valid & ~kTimes) && fs.times_in_kernel && node->unlinked &&
      node->type == identity::NodeType::file) {
    CO_TRY(st, fs.stat(node, nullptr));
    if (!fs.in_upper(node) || st.st_nlink == 0) {  // in the upper layer it may have other names
      answer.put(to_attr_out(fs, *node, st));
      co_return base::Unit{};
    }
  }
  constexpr std::uint32_t kChanges = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME |
                                     FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW;
  if (in.valid & kChanges && !fs.in_upper(node)) {
    std::uint64_t keep = in.valid & FATTR_SIZE ? in.size : UINT64_MAX;
    CO_TRY_VOID(co_await fs.copy_up(node, keep));
  }
  auto file = handle_of(fs, node, in.valid & FATTR_FH, in.fh);
  if (in.valid & kKillSuidgid) CO_TRY_VOID(kill_privileges(fs, request, node));
  if (in.valid & FATTR_SIZE) CO_TRY_VOID(truncate(fs, node, file.get(), in.size));
  if (in.valid & (FATTR_UID | FATTR_GID))
    CO_TRY_VOID(change_owner(fs, node, in, caller_of(fs, request)));
  if (in.valid & FATTR_MODE) CO_TRY_VOID(fs.set_mode(node, in.mode));
  if (in.valid & (FATTR_ATIME | FATTR_MTIME)) {
    timespec times[2] = {
        wanted_time(in.valid, FATTR_ATIME, FATTR_ATIME_NOW, in.atime, in.atimensec),
        wanted_time(in.valid, FATTR_MTIME, FATTR_MTIME_NOW, in.mtime, in.mtimensec)};
    CO_TRY_VOID(fs.set_times(node, times));
  }
  CO_TRY(st, fs.stat(node, file.get()));
  answer.put(to_attr_out(fs, *node, st));
  co_return base::Unit{};
}

Done on_statx(Overlay& fs, Request& request, Answer& answer) {
  auto in = request.reader().take<wire::StatxIn>();
  auto file = handle_of(fs, request.node, in->getattr_flags & FUSE_GETATTR_FH, in->handle);
  struct statx sx {};
  int rc;
  if (file && file->fd) {
    rc = ::statx(file->fd->get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &sx);
  } else {
    TRY(where, fs.locate(request.node));
    rc = ::statx(where.dir, where.name.c_str(), where.magic ? 0 : AT_SYMLINK_NOFOLLOW,
                 STATX_BASIC_STATS | STATX_BTIME, &sx);
  }
  TRY_VOID(base::check(rc));
  TRY(raw, fs.stat(request.node, file.get()));
  struct stat st = fs.present(*request.node, raw);
  wire::StatxOut out{};
  Validity valid = validity(fs);
  out.attr_valid = valid.seconds;
  out.attr_valid_nsec = valid.nanoseconds;
  wire::Statx& s = out.stat;
  s.mask = sx.stx_mask & (STATX_BASIC_STATS | STATX_BTIME);
  s.block_size = static_cast<std::uint32_t>(st.st_blksize);
  s.nlink = static_cast<std::uint32_t>(st.st_nlink);
  s.uid = st.st_uid;
  s.gid = st.st_gid;
  s.mode = static_cast<std::uint16_t>(st.st_mode);
  s.ino = st.st_ino;
  s.size = static_cast<std::uint64_t>(st.st_size);
  s.blocks = static_cast<std::uint64_t>(st.st_blocks);
  auto time = [](const statx_timestamp& t) { return wire::Time{t.tv_sec, t.tv_nsec, 0}; };
  s.atime = time(sx.stx_atime);
  s.btime = time(sx.stx_btime);
  s.ctime = time(sx.stx_ctime);
  s.mtime = time(sx.stx_mtime);
  s.rdev_major = major(st.st_rdev);
  s.rdev_minor = minor(st.st_rdev);
  answer.put(out);
  return base::Unit{};
}

Done on_statfs(Overlay& fs, Request&, Answer& answer) {
  struct statfs st;
  TRY_VOID(base::check(::fstatfs(fs.stack().layers[0].root.get(), &st)));
  fuse_statfs_out out{};
  out.st.blocks = st.f_blocks;
  out.st.bfree = st.f_bfree;
  out.st.bavail = st.f_bavail;
  out.st.files = st.f_files;
  out.st.ffree = st.f_ffree;
  out.st.bsize = static_cast<std::uint32_t>(st.f_bsize);
  out.st.namelen = static_cast<std::uint32_t>(st.f_namelen);
  out.st.frsize = static_cast<std::uint32_t>(st.f_frsize);
  // A whiteout file needs four bytes more than the name it hides.
  if (fs.stack().writable && !fs.stack().device_whiteouts) out.st.namelen -= 4;
  answer.put(out);
  return base::Unit{};
}

}  // namespace fusefs
