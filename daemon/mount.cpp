#include "daemon/mount.hpp"

#define FUSE_USE_VERSION 314
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include <climits>
#include <cstdarg>
#include <cstdlib>
#include <cstring>

#include "base/io.hpp"

namespace serving {
namespace {

std::string& fuse_messages() {
  static std::string text;
  return text;
}

// libfuse writes its reasons to stderr unless told otherwise; ours become one message.
void collect_message(fuse_log_level, const char* format, va_list arguments) {
  char line[1024];
  std::vsnprintf(line, sizeof line, format, arguments);
  fuse_messages() += line;
}

// What it allocates is freed by its unmount alone; who leaves the mount behind never calls that.
int mount_session(fuse_session* session, const char* path) {
#ifdef __SANITIZE_ADDRESS__
  __lsan::ScopedDisabler not_a_leak;
#endif
  return ::fuse_session_mount(session, path);
}

std::string take_messages(const std::string& otherwise) {
  std::string text = std::move(fuse_messages());
  fuse_messages().clear();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() ? otherwise : text;
}

struct FlagWord {
  unsigned long flag;
  const char* set;
  const char* clear;
};
constexpr FlagWord kFlagWords[] = {
    {MS_RDONLY, "ro", "rw"},          {MS_NOSUID, "nosuid", "suid"},
    {MS_NODEV, "nodev", "dev"},       {MS_NOEXEC, "noexec", "exec"},
    {MS_NOATIME, "noatime", "atime"}, {MS_SYNCHRONOUS, "sync", "async"},
    {MS_DIRSYNC, "dirsync", ""},
};

// What fuse-overlayfs mounts with: root shares its mount and honours set-id bits; all are noatime.
std::string option_list(const config::MountOptions& options, const std::string& subtype) {
  bool root = ::geteuid() == 0;
  std::string list = "fsname=" + subtype + ",subtype=" + subtype + ",default_permissions";
  if (root) list += ",allow_other";
  unsigned long set = options.flags_set | (options.flags_clear & MS_NOATIME ? 0 : MS_NOATIME);
  unsigned long clear = options.flags_clear;
  if (root && !(set & MS_NOSUID)) clear |= MS_NOSUID;
  for (const FlagWord& word : kFlagWords) {
    if (set & word.flag)
      list += std::string(",") + word.set;
    else if (clear & word.flag && *word.clear)
      list += std::string(",") + word.clear;
  }
  for (const std::string& option : options.fuse_options) {
    bool ours = option == "default_permissions" || (root && option == "allow_other");
    bool other_reader = option == "allow_root" && root;
    if (!ours && !other_reader) list += "," + option;
  }
  return list;
}

}  // namespace

void Mount::SessionFree::operator()(fuse_session* session) const {
  ::fuse_session_destroy(session);
}

base::Checked<std::unique_ptr<Mount>> Mount::make(const config::MountOptions& options,
                                                  const std::string& subtype) {
  char resolved[PATH_MAX];
  if (!::realpath(options.mountpoint.c_str(), resolved))
    return base::refuse_errno("mountpoint " + options.mountpoint);
  struct stat st;
  if (::stat(resolved, &st) != 0 || !S_ISDIR(st.st_mode))
    return base::refuse("mountpoint " + options.mountpoint + ": is not a directory");
  ::fuse_set_log_func(collect_message);
  std::string list = option_list(options, subtype);
  std::string program = subtype;
  char dash_o[] = "-o";
  char* argv[] = {program.data(), dash_o, list.data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(3, argv);
  fuse_lowlevel_ops none{};
  std::unique_ptr<fuse_session, SessionFree> session(
      ::fuse_session_new(&args, &none, sizeof none, nullptr));
  ::fuse_opt_free_args(&args);
  if (!session) return base::refuse("mount options " + list + ": " + take_messages("refused"));
  if (mount_session(session.get(), resolved) != 0)
    return base::refuse("mount on " + std::string(resolved) + ": " +
                        take_messages(std::strerror(errno)));
  std::unique_ptr<Mount> mount(new Mount);
  mount->path_ = resolved;
  // A descriptor of our own for the same connection: libfuse closes its one to unmount.
  mount->device_ = base::Fd(::fcntl(::fuse_session_fd(session.get()), F_DUPFD_CLOEXEC, 3));
  mount->session_ = std::move(session);
  if (!mount->device_.valid() || ::fcntl(mount->device_.get(), F_SETFL, O_NONBLOCK) != 0)
    return base::refuse_errno("mount on " + mount->path_);
  return mount;
}

Mount::~Mount() {
  unmount();
}

// libfuse sees by itself when the kernel has ended the connection already.
void Mount::unmount() {
  if (!session_) return;
  ::fuse_session_unmount(session_.get());
  session_.reset();
}

void Mount::leave() {
  session_.reset();
}

}  // namespace serving
