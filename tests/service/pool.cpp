#include "tests/service/pool.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <sstream>

#include "tests/kernel/files.hpp"

namespace service_test {
namespace {

constexpr const char* kPool = "0 0 1\n1 1 1999\n65534 2000 2\n";

// One write, at most a page: as the kernel wants it.
std::string write_once(const std::string& path, const std::string& text) {
  base::Fd file = kernel_test::open_at(path, O_WRONLY);
  if (!file.valid()) return "open: " + kernel_test::outcome(file);
  return kernel_test::outcome(::write(file.get(), text.data(), text.size()));
}

// A child that has called unshare(flags) and waits for a byte on `go`.
pid_t fork_into(int flags, base::Fd& go, const std::function<void()>& then) {
  int ready[2], begin[2];
  if (::pipe2(ready, O_CLOEXEC) != 0 || ::pipe2(begin, O_CLOEXEC) != 0) return -1;
  base::Fd ready_in(ready[1]), ready_out(ready[0]), begin_out(begin[0]);
  go = base::Fd(begin[1]);
  pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    go.reset();
    char byte = 0;
    if (::unshare(flags) != 0) ::_exit(97);
    (void)!::write(ready_in.get(), &byte, 1);
    if (::read(begin_out.get(), &byte, 1) != 1) ::_exit(98);
    then();
    ::_exit(0);
  }
  ready_in.reset();
  char byte;
  (void)!::read(ready_out.get(), &byte, 1);
  return child;
}

}  // namespace

std::string in_pool(const std::function<std::string()>& story) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return "pipe";
  base::Fd told(ends[0]), tell(ends[1]), go;
  pid_t child = fork_into(CLONE_NEWUSER | CLONE_NEWNS, go, [&] {
    ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    std::string answer =
        ::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0 ? "setuid" : story();
    (void)!::write(tell.get(), answer.data(), answer.size());
  });
  tell.reset();
  std::string proc = "/proc/" + std::to_string(child);
  EXPECT_EQ(write_once(proc + "/uid_map", kPool), "ok");
  EXPECT_EQ(write_once(proc + "/gid_map", kPool), "ok");
  (void)!::write(go.get(), "", 1);
  std::string answer;
  char bytes[4096];
  for (ssize_t got; (got = ::read(told.get(), bytes, sizeof bytes)) > 0;)
    answer.append(bytes, static_cast<std::size_t>(got));
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) answer += " (child: status " + std::to_string(status) + ")";
  return answer;
}

Nested::Nested() {
  base::Fd go;
  pid_ = fork_into(CLONE_NEWUSER, go, [] { ::pause(); });
  (void)!::write(go.get(), "", 1);
}

Nested::~Nested() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::string Nested::write_map(const std::string& kind, const std::string& text) const {
  return write_once("/proc/" + std::to_string(pid_) + "/" + kind + "_map", text);
}

std::string Nested::read_map(const std::string& kind) const {
  std::istringstream words(
      kernel_test::read_file("/proc/" + std::to_string(pid_) + "/" + kind + "_map"));
  std::string text, inside, outside, count;
  while (words >> inside >> outside >> count) text += inside + " " + outside + " " + count + "\n";
  return text;
}

}  // namespace service_test
