#include "daemon/detach.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <set>

#include "base/io.hpp"
#include "base/log.hpp"
#include "base/mountinfo.hpp"

namespace serving {
namespace {

namespace log = base::log;

constexpr std::size_t kMostMountinfo = 1 << 30;  // the kernel stops at 100,000 mounts
constexpr unsigned kMostSeconds = 10;  // a mount on a dead network file system must not hold us

base::Fd open_at(const base::Fd& dir, const std::string& name) {
  return base::Fd(::openat(dir.get(), name.c_str(), O_RDONLY | O_CLOEXEC));
}

std::string mount_table(const base::Fd& mountinfo) {
  return base::read_all(mountinfo.get(), kMostMountinfo).value_or("");
}

// Later ones first: what is mounted below another one goes before it.
void detach_here(const base::Fd& proc, const std::set<std::string>& devices) {
  const std::string table = mount_table(open_at(proc, "self/mountinfo"));
  auto lines = base::mount_lines(table);
  std::reverse(lines.begin(), lines.end());
  for (const base::MountLine& line : lines)
    if (!line.type.empty() && devices.contains(std::string(line.device)))
      ::umount2(base::unescape_mount(line.point).c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

// In the helper process, which has one thread, as the kernel wants it.
void detach_everywhere(const std::set<std::string>& devices) {
  base::Fd proc(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::unique_ptr<DIR, CloseDir> all(::fdopendir(::fcntl(proc.get(), F_DUPFD_CLOEXEC, 3)));
  if (!all) return;
  std::set<std::string> seen;
  detach_here(proc, devices);
  while (const dirent* entry = ::readdir(all.get())) {
    std::string pid = entry->d_name, ns = pid + "/ns/mnt";
    if (pid.find_first_not_of("0123456789") != pid.npos) continue;
    std::array<char, 64> link;
    ssize_t size = ::readlinkat(proc.get(), ns.c_str(), link.data(), link.size());
    if (size <= 0 || !seen.emplace(link.data(), static_cast<std::size_t>(size)).second) continue;
    base::Fd there = open_at(proc, ns);
    if (there.valid() && ::setns(there.get(), CLONE_NEWNS) == 0) detach_here(proc, devices);
  }
}

}  // namespace

std::string device_at(const std::string& path) {
  base::Fd file(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  const std::string table = mount_table(file);
  std::string_view device;
  for (const base::MountLine& line : base::mount_lines(table))
    if (!line.type.empty() && base::unescape_mount(line.point) == path) device = line.device;
  return std::string(device);
}

base::Checked<Detacher> Detacher::start(ring::Reactor& reactor, std::vector<std::string> devices,
                                        std::function<void()> done) {
  pid_t child = ::fork();
  if (child < 0) return base::refuse_errno("fork");
  if (child == 0) {
    ::signal(SIGALRM, SIG_DFL);
    ::alarm(kMostSeconds);
    detach_everywhere({devices.begin(), devices.end()});
    ::_exit(0);
  }
  Detacher detacher;
  detacher.process_ = base::Fd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (!detacher.process_.valid()) return base::refuse_errno("pidfd_open");
  detacher.watch_ = reactor.watch(detacher.process_.get(), POLLIN, [child, done](int) {
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) != child) return;
    if (!WIFEXITED(status))
      log::line(log::Level::warning, "daemon.detach",
                "signal=" + std::to_string(WIFSIGNALED(status) ? WTERMSIG(status) : 0));
    done();
  });
  return detacher;
}

}  // namespace serving
