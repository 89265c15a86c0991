// Copy-up: a lower file becomes an upper one before it is changed. Only the copying of data waits
// (and lets other requests be served); all that has a name happens in one go afterwards, on what is
// true by then.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "fusefs/overlay.hpp"

namespace fusefs {

namespace at = ring::at;

namespace {

constexpr std::size_t kChunk = 1024 * 1024;       // copied by a kernel worker at a time
constexpr std::size_t kInlinePiece = 256 * 1024;  // copied here at a time: some 50 us
constexpr std::uint64_t kWorkersFrom = 64 * 1024 * 1024;
constexpr std::size_t kSmallFile = 32 * 1024;

struct FreeBuffer {
  void operator()(void* p) const { std::free(p); }
};

void keep_times(const struct stat& st, timespec times[2]) {
  times[0] = st.st_atim;
  times[1] = st.st_mtim;
}

}  // namespace

base::Result<> Overlay::copy_xattrs(const at::Where& from, const at::Where& to) {
  TRY(names, at::list_xattr(from));
  for (std::size_t begin = 0; begin < names.size();) {
    std::string name(names.c_str() + begin);
    begin += name.size() + 1;
    if (identity::is_internal_xattr(name)) continue;  // the record is written anew
    auto value = at::get_xattr(from, name.c_str(), 65536);
    if (!value) continue;  // listed but not readable for us, as a trusted.* in a user namespace
    auto copied = at::set_xattr(to, name.c_str(), *value);
    // What the upper file system refuses by its nature can not be kept; lack of space is an error.
    if (!copied && (copied.error().value == ENOSPC || copied.error().value == EDQUOT ||
                    copied.error().value == EIO))
      return copied;
  }
  return base::Unit{};
}

// Owner, mode, times and xattrs of the copy, all but its name. `made`: the mode it was made with.
base::Result<> Overlay::copy_identity(Node* node, const at::Where& from, const struct stat& st,
                                      const at::Where& to, mode_t made, mode_t type) {
  Owner owner{node->uid, node->gid};
  mode_t mode = node->has_override ? node->override_mode : st.st_mode & 07777;
  if (owners_.needs_record(owner) || owners_.on_disk(owner) != Owner{0, 0})
    TRY_VOID(owners_.write(to, type, owner, false));
  if (node->type == identity::NodeType::symlink) {
    timespec times[2];
    keep_times(st, times);
    return at::set_times(to, times);
  }
  if (mode != made) TRY_VOID(at::chmod(to, mode));
  if (!node->no_xattrs) TRY_VOID(copy_xattrs(from, to));
  timespec times[2];
  keep_times(st, times);
  return at::set_times(to, times);
}

// Gives the finished copy its name. The directory above keeps its times: nothing changed for its
// readers.
base::Result<> Overlay::place(Node* node, const std::string& temporary, const struct stat& source) {
  Node* parent = node->name.parent;
  TRY_VOID(ensure_upper(parent));
  TRY(dir, dir_fd(parent, 0));
  TRY(before, at::stat({dir, ""}));
  const std::string& name = node->name.text;
  if (OwnerStore::is_special(source.st_mode) &&
      ::renameat(work_.fd(), OwnerStore::sidecar_name(temporary).c_str(), dir,
                 OwnerStore::sidecar_name(name).c_str()) == 0)
    note_sidecar(parent);
  TRY_VOID(
      base::check(::renameat2(work_.fd(), temporary.c_str(), dir, name.c_str(), RENAME_NOREPLACE)));
  timespec times[2];
  keep_times(before, times);
  (void)at::set_times({dir, "."}, times);
  return base::Unit{};
}

void Overlay::moved_up(Node* node, const struct stat& source) {
  ++counters_.copy_ups;
  // The copy of a hard-linked file is a file of its own; any other keeps the number it was known
  // by.
  if (!node->is_dir() && source.st_nlink > 1)
    if (auto st = stat(node)) node->ino = present_ino(0, st->st_ino);
  nodes_.describe(*node);
  node->has_override = false;
}

base::Result<> Overlay::copy_up_dir(Node* dir) {
  if (!stack_.writable) return base::fail(EROFS);
  std::vector<Node*> chain;  // a loop, since a container decides the depth
  for (Node* at = dir; at && at->layer != 0; at = at->name.parent) chain.push_back(at);
  for (; !chain.empty(); chain.pop_back()) {
    Node* node = chain.back();
    if (node->gone) return base::fail(ENOENT);
    TRY(from, locate(node));
    TRY(st, stat(node));
    std::string temporary = work_.fresh();
    TRY_VOID(base::check(::mkdirat(work_.fd(), temporary.c_str(), 0700)));
    at::Where to{work_.fd(), temporary};
    auto done = copy_identity(node, from, st, to, 0700, S_IFDIR);
    if (done) done = place(node, temporary, st);
    if (!done) {
      ::unlinkat(work_.fd(), temporary.c_str(), AT_REMOVEDIR);
      return done;
    }
    LayerDir version;
    version.hidden.state = HiddenNames::State::none;
    node->dir->layers.insert(node->dir->layers.begin(), std::move(version));
    node->layer = 0;
    moved_up(node, st);
  }
  return base::Unit{};
}

base::Result<> Overlay::copy_up_special(Node* node) {
  TRY(from, locate(node));
  TRY(st, stat(node));
  NewFile what;
  struct stat shown = present(*node, st);
  what.mode = shown.st_mode;
  what.rdev = shown.st_rdev;
  if (S_ISCHR(what.mode) && what.rdev == 0) return base::fail(EPERM);  // it would be a whiteout
  if (S_ISLNK(shown.st_mode)) {
    TRY(target, at::readlink(from));
    what.target = std::move(target);
  }
  std::string temporary = work_.fresh();
  at::Where to{work_.fd(), temporary};
  // A device that may not be made stays, or becomes, a record on an empty file.
  const bool device = S_ISCHR(what.mode) || S_ISBLK(what.mode);
  bool record = device && S_ISREG(st.st_mode);
  auto made = record ? base::Result<>(base::Unit{}) : make_at(to, what, what.mode, nullptr);
  record |= device && !made && made.error().value == EPERM;
  if (record) made = make_at(to, what, S_IFREG | (what.mode & 0777), nullptr);
  if (!made) return made;
  struct stat source = shown;
  if (record) source.st_mode = S_IFREG | (shown.st_mode & 07777);
  auto done = copy_identity(node, from, st, to, shown.st_mode & 01777, source.st_mode);
  if (record) node->rdev = static_cast<std::uint32_t>(shown.st_rdev);
  if (done && record)
    done = owners_.write_device(to, {node->type, major(shown.st_rdev), minor(shown.st_rdev)});
  if (done && !node->gone) done = place(node, temporary, source);
  if (!done || node->gone) {
    if (done) {
      auto fd = at::open(to, O_PATH);
      if (fd) node->orphan = std::move(*fd);
    }
    ::unlinkat(work_.fd(), temporary.c_str(), 0);
    ::unlinkat(work_.fd(), OwnerStore::sidecar_name(temporary).c_str(), 0);
    if (!done) return done;
  }
  node->layer = 0;
  moved_up(node, st);
  return base::Unit{};
}

// Small files are copied at once through the stack: what they have is in one or two pages.
base::Result<bool> Overlay::copy_small(int from, int to, std::uint64_t size) {
  char bytes[kSmallFile];
  if (size > sizeof bytes) return false;
  ssize_t got = ::pread(from, bytes, size, 0);
  TRY_VOID(base::check(got));
  ssize_t put = ::pwrite(to, bytes, static_cast<std::size_t>(got), 0);
  TRY_VOID(base::check(put));
  counters_.copied_bytes += static_cast<std::uint64_t>(put);
  if (put != got) return base::fail(ENOSPC);
  return static_cast<std::uint64_t>(got) == size;
}

ring::Task<base::Result<>> Overlay::copy_data(Node* node, int from, int to, std::uint64_t size) {
  if (size == 0) co_return base::Unit{};
  if (can_clone_) {
    if (::ioctl(to, FICLONE, from) == 0) {
      ++counters_.clones;
      co_return base::Unit{};
    }
    // What the file system does not have it will not have for the next file either.
    if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EXDEV) can_clone_ = false;
  }
  CO_TRY(small, copy_small(from, to, size));
  if (small) co_return base::Unit{};
  std::uint64_t done = 0;
  // A big file is copied by kernel workers even if all of it is cached: others are served beside
  // it. For a smaller one handing each chunk over would take as long as copying it: what is in the
  // page cache is copied here, and others are served between the pieces.
  bool big = size > kWorkersFrom || options_.io == ring::Io::ring_only;
  ring::FileIo io(io_.reactor(), big ? ring::Io::ring_only : ring::Io::automatic);
  const std::size_t piece = std::min<std::uint64_t>(big ? kChunk : kInlinePiece, size);
  std::unique_ptr<void, FreeBuffer> buffer(std::malloc(piece));
  if (!buffer) co_return base::fail(ENOMEM);
  while (done < size) {
    if (given_up && given_up(node)) co_return base::fail(EINTR);
    // Holes stay holes.
    off_t data = ::lseek(from, static_cast<off_t>(done), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data > 0) done = std::max(done, static_cast<std::uint64_t>(data));
    if (done >= size) break;
    std::size_t want = std::min<std::uint64_t>(piece, size - done);
    ssize_t got = co_await io.read(from, buffer.get(), want, static_cast<off_t>(done));
    if (got < 0) co_return base::fail(static_cast<int>(-got));
    if (got == 0) break;
    ssize_t put = co_await io.write(to, buffer.get(), static_cast<std::size_t>(got),
                                    static_cast<off_t>(done));
    if (put < 0) co_return base::fail(static_cast<int>(-put));
    counters_.copied_bytes += static_cast<std::uint64_t>(put);
    if (put != got) co_return base::fail(ENOSPC);
    done += static_cast<std::uint64_t>(got);
    if (!big && done < size) co_await io_.reactor().yield();
  }
  co_return base::Unit{};
}

ring::Task<base::Result<>> Overlay::copy_up_file(Node* node, std::uint64_t limit) {
  CO_TRY(from, locate(node));
  auto source = at::open(from, O_RDONLY);
  if (!source) co_return tl::make_unexpected(source.error());
  struct stat st;
  if (::fstat(source->get(), &st) != 0) co_return base::fail_errno();
  std::string temporary = work_.fresh();
  at::Where to{work_.fd(), temporary};
  mode_t made_mode = (node->has_override ? node->override_mode : st.st_mode) & 0777;
  auto target = at::open(to, O_RDWR | O_CREAT | O_EXCL, made_mode);
  if (!target) co_return tl::make_unexpected(target.error());
  std::uint64_t size = std::min<std::uint64_t>(limit, static_cast<std::uint64_t>(st.st_size));
  base::Result<> done = co_await copy_data(node, source->get(), target->get(), size);
  // A hole at the end has not been written; a clone is as long as its source.
  struct stat made;
  if (done && (can_clone_ || size > kSmallFile) && ::fstat(target->get(), &made) == 0 &&
      static_cast<std::uint64_t>(made.st_size) != size)
    done = base::check(::ftruncate(target->get(), static_cast<off_t>(size)));
  if (done) done = copy_identity(node, at::by_fd(source->get()), st, to, made_mode, S_IFREG);
  // The node may have been renamed or unlinked meanwhile: its name of now counts.
  if (done && !node->gone) done = place(node, temporary, st);
  if (!done || node->gone) ::unlinkat(work_.fd(), temporary.c_str(), 0);
  if (!done) co_return done;
  node->layer = 0;
  if (node->gone) {
    int again = ::fcntl(target->get(), F_DUPFD_CLOEXEC, 3);
    if (again >= 0) replace_orphan(node, base::Fd(again));
  }
  // Whoever has the lower file open reads the upper one from now on.
  SharedFd shared = std::make_shared<const base::Fd>(std::move(*target));
  for (OpenFile* file : node->file_part().open)
    if (file->fd) file->fd = shared;
  moved_up(node, st);
  co_return base::Unit{};
}

ring::Task<base::Result<>> Overlay::copy_up(Node* node, std::uint64_t size) {
  if (!stack_.writable) co_return base::fail(EROFS);
  if (node->layer == 0) co_return base::Unit{};
  if (node->is_dir()) co_return copy_up_dir(node);
  if (node->type != identity::NodeType::file) co_return copy_up_special(node);
  Pin pin(nodes_, node);
  if (node->file && node->file->copying) {
    std::shared_ptr<ring::Event> other = node->file->copying;
    co_await other->wait();
    // It may have failed, or have copied less than we were asked for: a shorter file was then asked
    // for too.
    if (node->layer == 0) co_return base::Unit{};
    co_return co_await copy_up(node, size);
  }
  auto event = std::make_shared<ring::Event>(io_.reactor());
  node->file_part().copying = event;
  base::Result<> done = co_await copy_up_file(node, size);
  node->file_part().copying = nullptr;
  event->fire();
  co_return done;
}

}  // namespace fusefs
