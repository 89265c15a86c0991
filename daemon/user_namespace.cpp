#include "daemon/user_namespace.hpp"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <pwd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

#include "base/fd.hpp"
#include "base/io.hpp"
#include "base/wait.hpp"

namespace serving {
namespace {

constexpr std::size_t kMostRanges = 300;  // a map has at most 340 lines

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string read_file(const char* path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

bool write_file(const char* path, const std::string& text) {
  base::Fd file(::open(path, O_WRONLY | O_CLOEXEC));
  return file.valid() &&
         ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

base::Checked<base::Unit> become_root() {
  // Both are the same id of the kernel's before and after: nothing about us changes for others.
  if (::setresgid(0, 0, 0) != 0) return base::refuse_errno("setgid 0");
  if (::setresuid(0, 0, 0) != 0) return base::refuse_errno("setuid 0");
  return base::Unit{};
}

// Runs newuidmap or newgidmap. False: it is not there, or it has refused and said so on stderr.
bool run_helper(const char* program, pid_t target, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {program, std::to_string(target)});
  std::vector<char*> argv;
  for (std::string& one : arguments) argv.push_back(one.data());
  argv.push_back(nullptr);
  pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    ::execvp(program, argv.data());
    ::_exit(127);
  }
  return base::wait_for(child) == 0;
}

struct Account {
  std::string name;
  uid_t uid = ::getuid();
  gid_t gid = ::getgid();
};

Account account() {
  Account self;
  if (const passwd* entry = ::getpwuid(self.uid)) self.name = entry->pw_name;
  return self;
}

// The maps are written from outside, by a child that stayed there.
base::Checked<bool> map_with_helpers(const Account& self) {
  auto uids = sub_ids(read_file("/etc/subuid"), self.name, self.uid);
  auto gids = sub_ids(read_file("/etc/subgid"), self.name, self.uid);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::refuse_errno("pipe");
  base::Fd wait_end(ends[0]), go_end(ends[1]);
  pid_t parent = ::getpid();
  pid_t child = ::fork();
  if (child < 0) return base::refuse_errno("fork");
  if (child == 0) {
    go_end.reset();
    char byte;
    if (::read(wait_end.get(), &byte, 1) != 1) ::_exit(1);
    bool done = !uids.empty() && !gids.empty() &&
                run_helper("newuidmap", parent, id_map_arguments(self.uid, uids)) &&
                run_helper("newgidmap", parent, id_map_arguments(self.gid, gids));
    ::_exit(done ? 0 : 1);
  }
  bool unshared = ::unshare(CLONE_NEWUSER) == 0;
  int error = errno;
  if (unshared) (void)!::write(go_end.get(), "", 1);
  go_end.reset();
  const int status = base::wait_for(child);
  errno = error;
  if (!unshared) return base::refuse_errno("cannot make a user namespace");
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

base::Checked<std::string> make_namespace() {
  Account self = account();
  TRY(mapped, map_with_helpers(self));
  if (mapped) return std::string("made a user namespace with all sub-ids");
  if (read_file("/proc/self/uid_map").find_first_not_of(" \n") != std::string::npos)
    return base::refuse("newgidmap failed after newuidmap: check " + self.name +
                        "'s line in /etc/subgid");
  std::string own = "0 " + std::to_string(self.uid) + " 1\n";
  if (!write_file("/proc/self/setgroups", "deny") || !write_file("/proc/self/uid_map", own) ||
      !write_file("/proc/self/gid_map", "0 " + std::to_string(self.gid) + " 1\n"))
    return base::refuse_errno("cannot map " + std::to_string(self.uid) + " to root");
  return std::string("made a user namespace of one id: no sub-ids, or no newuidmap");
}

}  // namespace

std::vector<SubIds> sub_ids(std::string_view file, std::string_view name, std::uint32_t uid) {
  std::vector<SubIds> found;
  std::istringstream lines{std::string(file)};
  for (std::string line; std::getline(lines, line);) {
    std::size_t one = line.find(':');
    std::size_t two = one == line.npos ? line.npos : line.find(':', one + 1);
    if (two == line.npos) continue;
    std::string_view text = line, who = text.substr(0, one);
    auto first = number(text.substr(one + 1, two - one - 1)), count = number(text.substr(two + 1));
    bool ours = (!name.empty() && who == name) || number(who) == uid;
    if (ours && first && count && *count > 0 && found.size() < kMostRanges)
      found.push_back({*first, *count});
  }
  std::sort(found.begin(), found.end(), [](auto& a, auto& b) { return a.first < b.first; });
  return found;
}

std::vector<std::string> id_map_arguments(std::uint32_t own, std::span<const SubIds> ranges) {
  std::vector<std::string> words = {"0", std::to_string(own), "1"};
  std::uint64_t inside = 1;
  for (const SubIds& range : ranges) {
    for (std::uint64_t n : {inside, std::uint64_t{range.first}, std::uint64_t{range.count}})
      words.push_back(std::to_string(n));
    inside += range.count;
  }
  return words;
}

base::Checked<base::Fd> open_namespace_of(pid_t pid) {
  std::string process = "/proc/" + std::to_string(pid);
  base::Fd ns(::open((process + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
  if (!ns.valid()) return base::refuse_errno(process + "/ns/user");
  uid_t owner = static_cast<uid_t>(-1);
  if (::ioctl(ns.get(), NS_GET_OWNER_UID, &owner) != 0 || owner != ::geteuid())
    return base::refuse(process + ": its user namespace is not ours");
  return ns;
}

base::Checked<PauseProcess> open_pause_process() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (!runtime || runtime[0] != '/') return base::refuse("XDG_RUNTIME_DIR is not set to a path");
  std::string path = std::string(runtime) + "/libpod/tmp/pause.pid";
  base::Fd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) return base::refuse_errno(path);
  struct stat st;
  if (::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != ::geteuid())
    return base::refuse(path + ": is not a file of ours");
  char text[16];
  ssize_t size = ::read(file.get(), text, sizeof text);
  std::string_view digits(text, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  while (digits.ends_with('\n')) digits.remove_suffix(1);
  auto pid = number(digits);
  if (!pid) return base::refuse(path + ": does not contain a process id");
  TRY(ns, open_namespace_of(static_cast<pid_t>(*pid)));
  std::string process = "/proc/" + std::to_string(*pid);
  base::Fd mounts(::open((process + "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC));
  return PauseProcess{static_cast<pid_t>(*pid), std::move(ns), std::move(mounts)};
}

base::Checked<base::Unit> enter_pause_process(const PauseProcess& pause) {
  if (::setns(pause.users.get(), CLONE_NEWUSER) != 0)
    return base::refuse_errno("podman's user namespace");
  if (::setns(pause.mounts.get(), CLONE_NEWNS) != 0)
    return base::refuse_errno("podman's mount namespace");
  return become_root();
}

base::Checked<std::string> enter_user_namespace() {
  if (::geteuid() == 0) return enter_user_namespace({});
  auto pause = open_pause_process();
  return enter_user_namespace(pause ? std::move(pause->users) : base::Fd());
}

base::Checked<std::string> enter_user_namespace(base::Fd users) {
  if (::geteuid() == 0) return std::string("root already");
  std::string done = "joined the user namespace of podman, or of the daemon that runs";
  if (!users.valid() || ::setns(users.get(), CLONE_NEWUSER) != 0) {
    TRY(made, make_namespace());
    done = std::move(made);
  }
  TRY_VOID(become_root());
  return done;
}

}  // namespace serving
