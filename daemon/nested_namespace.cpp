#include "daemon/nested_namespace.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/fd.hpp"
#include "base/io.hpp"
#include "base/wait.hpp"

namespace serving {
namespace {

constexpr std::array kMapFiles = {"uid_map", "gid_map"};

struct Report {
  std::size_t file = 0;  // of kMapFiles, at which it failed
  int error = 0;         // 0: both are written
};

// A map is written by one write(2), or not at all.
int write_map(int process, const char* name, const std::string& text) {
  base::Fd file(::openat(process, name, O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return errno;
  ssize_t written = ::write(file.get(), text.data(), text.size());
  if (written < 0) return errno;
  return written == static_cast<ssize_t>(text.size()) ? 0 : EINVAL;
}

// The child: waits for the word, writes, reports, and ends.
[[noreturn]] void write_maps(int process, int channel, const std::string* const (&texts)[2]) {
  char go;
  Report report;
  if (::recv(channel, &go, 1, 0) != 1) ::_exit(1);
  for (; report.file < kMapFiles.size(); ++report.file) {
    report.error = write_map(process, kMapFiles[report.file], *texts[report.file]);
    if (report.error != 0) break;
  }
  ::_exit(::send(channel, &report, sizeof report, MSG_NOSIGNAL) == sizeof report ? 0 : 1);
}

// Like fork, but its end sends no signal: a SIGCHLD that the caller blocks would wait for who is
// executed, who knows of no child.
pid_t silent_fork() {
  return static_cast<pid_t>(::syscall(SYS_clone, 0L, 0L, 0L, 0L, 0L));
}

base::Checked<base::Unit> unshare_with_writer(int channel) {
  if (::unshare(CLONE_NEWUSER) != 0) {
    const char* hint = errno == ENOSPC ? " (user.max_user_namespaces, or 32 of them nested)" : "";
    auto refused = base::refuse_errno("cannot make a user namespace");
    refused.value().message += hint;
    return refused;
  }
  Report report;
  ssize_t got = -1;
  if (::send(channel, "", 1, MSG_NOSIGNAL) == 1) {
    do got = ::recv(channel, &report, sizeof report, 0);
    while (got < 0 && errno == EINTR);
  }
  if (got != sizeof report) return base::refuse("the child that writes the maps has died");
  if (report.error == 0) return base::Unit{};
  errno = report.error;
  return base::refuse_errno(std::string("the kernel refuses the planned ") +
                            kMapFiles[report.file]);
}

base::Checked<base::Unit> drop_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[2] = {};
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
      ::syscall(SYS_capset, &header, none) != 0)
    return base::refuse_errno("cannot drop the capabilities");
  return base::Unit{};
}

}  // namespace

base::Checked<base::Unit> enter_nested_namespace(const std::string& uid_map,
                                                 const std::string& gid_map) {
  // By descriptor: who mounted /proc may number processes in another way. Ids have changed on the
  // way here, so that our files in /proc would be those of the initial root's.
  ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  base::Fd process(::open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!process.valid()) return base::refuse_errno("/proc/self");
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return base::refuse_errno("socketpair");
  base::Fd ours(ends[0]), theirs(ends[1]);
  const std::string* const texts[2] = {&uid_map, &gid_map};
  pid_t child = silent_fork();
  if (child < 0) return base::refuse_errno("fork");
  if (child == 0) {
    ours.reset();
    write_maps(process.get(), theirs.get(), texts);
  }
  theirs.reset();
  auto done = unshare_with_writer(ours.get());
  ours.reset();
  (void)base::wait_for(child, __WALL);
  return done;
}

bool groups_are_fixed() {
  char text[8] = "";
  base::Fd file(::open("/proc/self/setgroups", O_RDONLY | O_CLOEXEC));
  return file.valid() && ::read(file.get(), text, sizeof text - 1) > 0 &&
         std::string(text).starts_with("deny");
}

base::Checked<base::Unit> become(const Person& person) {
  if (!person.keep_groups && ::setgroups(person.groups.size(), person.groups.data()) != 0 &&
      !(person.groups.empty() && groups_are_fixed()))
    return base::refuse_errno("setgroups");
  if (::setresgid(person.gid, person.gid, person.gid) != 0)
    return base::refuse_errno("setgid " + std::to_string(person.gid));
  // A change of ids hides us from who may have to help with the next: we were executed outside.
  ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  if (::setresuid(person.uid, person.uid, person.uid) != 0)
    return base::refuse_errno("setuid " + std::to_string(person.uid));
  return person.uid == 0 ? base::Unit{} : drop_capabilities();
}

}  // namespace serving
