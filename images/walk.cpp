// The owners of all files below a directory.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "base/fd.hpp"
#include "base/io.hpp"
#include "identity/sidecar.hpp"
#include "images/files.hpp"
#include "images/meter.hpp"
#include "images/owner.hpp"
#include "images/rootfs.hpp"

namespace images {
namespace {

constexpr std::size_t kMostValue = 256;  // bytes of a record; longer ones are not records

// <dirent.h> has no name for what getdents64(2) fills in.
struct KernelEntry {
  std::uint64_t ino;
  std::int64_t next;
  std::uint16_t length;
  std::uint8_t type;
};
constexpr std::size_t kNameAt = offsetof(KernelEntry, type) + 1;

class Directory {
 public:
  Directory(base::Fd fd, std::size_t path_length) : fd_(std::move(fd)), path_length_(path_length) {}
  /// The next name but "." and "..", empty at the end. Valid until the next call.
  const char* next() {
    for (;;) {
      if (at_ >= size_ && !refill()) return nullptr;
      KernelEntry entry;
      std::memcpy(&entry, buffer_.get() + at_, kNameAt);
      const char* name = buffer_.get() + at_ + kNameAt;
      at_ += entry.length;
      if (std::strcmp(name, ".") != 0 && std::strcmp(name, "..") != 0) return name;
    }
  }
  int fd() const { return fd_.get(); }
  /// Length of the path of the directory that this one is in.
  std::size_t path_length() const { return path_length_; }

 private:
  static constexpr std::size_t kBuffer = 32 * 1024;

  bool refill() {
    if (!buffer_) buffer_ = std::make_unique<char[]>(kBuffer);
    const long got = ::syscall(SYS_getdents64, fd_.get(), buffer_.get(), kBuffer);
    at_ = 0;
    size_ = got > 0 ? static_cast<std::size_t>(got) : 0;
    return got > 0;
  }
  base::Fd fd_;
  std::size_t path_length_;
  std::unique_ptr<char[]> buffer_;
  std::size_t at_ = 0, size_ = 0;
};

class Walk {
 public:
  Walk(const Limits& limits, const Progress& progress) : meter_(limits, progress) {}

  void run(base::Fd root) {
    struct stat status {};
    if (::fstat(root.get(), &status) != 0) return;
    device_ = status.st_dev;
    told_ = is_fuse(root.get());
    const std::string self = "/proc/self/fd/" + std::to_string(root.get());
    take(owner_by_record(self + "/.", {status.st_uid, status.st_gid}));
    stack_.emplace_back(std::move(root), 0);
    while (!stack_.empty() && within_limits()) {
      const char* name = stack_.back().next();
      if (name) {
        look(stack_.back().fd(), name);
      } else {
        path_.resize(stack_.back().path_length());
        stack_.pop_back();
      }
    }
  }
  Walked result() && {
    walked_.files = meter_.files();
    return std::move(walked_);
  }

 private:
  bool within_limits() {
    if (meter_.spend_file()) return true;
    walked_.found.note(meter_.why());
    return walked_.complete = false;
  }

  void look(int directory, const char* name) {
    struct stat status {};
    if (std::string_view(name).starts_with(".wh.")) return;
    if (::fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return;
    if (S_ISCHR(status.st_mode) && status.st_rdev == 0) return;  // a whiteout
    const std::size_t length = path_.size();
    path_.append("/").append(name);
    Owner plain{status.st_uid, status.st_gid};
    if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))
      take(owner_by_record("/proc/self/fd/" + std::to_string(directory) + "/" + name, plain));
    else if (!told_)
      take(owner_by_sidecar(directory, name, plain));
    if (!S_ISDIR(status.st_mode) || status.st_dev != device_ || !enter(directory, name, length))
      path_.resize(length);
  }

  bool enter(int directory, const char* name, std::size_t length) {
    if (stack_.size() >= meter_.limits().depth) {
      walked_.found.note(path_.substr(0, 100) + "...: directories deeper than " +
                         std::to_string(meter_.limits().depth) + " levels were not looked at");
      return false;
    }
    base::Fd fd(::openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) {
      walked_.found.note(path_ + ": " + std::strerror(errno));
      return false;
    }
    stack_.emplace_back(std::move(fd), length);
    return true;
  }

  std::optional<std::string_view> value(const std::string& path, std::string_view key) {
    const ssize_t got =
        ::lgetxattr(path.c_str(), std::string(key).c_str(), value_.data(), value_.size());
    if (got < 0) return std::nullopt;
    return std::string_view(value_.data(), static_cast<std::size_t>(got));
  }

  Owner owner_by_record(const std::string& path, Owner owner) {
    if (!xattrs_) return owner;
    const ssize_t got = ::llistxattr(path.c_str(), names_.data(), names_.size());
    if (got < 0 && errno == ENOTSUP) xattrs_ = false;
    if (got <= 0) return owner;
    const std::string_view names(names_.data(), static_cast<std::size_t>(got));
    if (names.find("user.") == names.npos && names.find("security.fuse") == names.npos)
      return owner;
    return owner_by_records(owner, [&](std::string_view key) { return value(path, key); });
  }

  Owner owner_by_sidecar(int directory, const char* name, Owner owner) {
    const std::string beside = identity::sidecar_name(name);
    struct stat status {};
    if (::fstatat(directory, beside.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(status.st_mode))
      return owner;
    base::Fd fd(::openat(directory, beside.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    const ssize_t got = ::read(fd.get(), value_.data(), identity::kSidecarSize + 1);
    auto ids =
        identity::parse_sidecar({value_.data(), static_cast<std::size_t>(got < 0 ? 0 : got)});
    return ids ? Owner{ids->first, ids->second} : owner;
  }

  void take(Owner owner) { add_owner(walked_.found, owner, path_); }

  Meter meter_;
  Walked walked_;
  dev_t device_ = 0;
  std::string path_;  // of the entry being looked at, from the root: "/etc/passwd"
  std::vector<Directory> stack_;
  std::array<char, 65536> names_;
  std::array<char, kMostValue> value_;
  bool xattrs_ = true;  // false: this file system has none
  // A mount like our own: it shows slots, and tells the true owners of files and directories as
  // records. Of links and special files nobody tells, and their slot is not an id that they need.
  bool told_ = false;
};

}  // namespace

base::Checked<Walked> read_tree(int root_fd, const Limits& limits, const Progress& progress) {
  base::Fd root(::openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return base::refuse_errno("the root of the image");
  Walk walk(limits, progress);
  walk.run(std::move(root));
  return std::move(walk).result();
}

}  // namespace images
