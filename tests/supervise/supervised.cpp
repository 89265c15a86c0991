#include "tests/supervise/supervised.hpp"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>

#include "base/fd.hpp"
#include "base/unix_socket.hpp"
#include "identity/live_slots.hpp"
#include "identity/pool.hpp"
#include "ring/reactor.hpp"
#include "seccomp/profile.hpp"
#include "seccomp/supervisor.hpp"

namespace supervised {
namespace {

constexpr unsigned kSeconds = 10;

void write_file(const std::string& path, const std::string& text) {
  base::Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    std::cerr << path << ": " << std::strerror(errno) << "\n";
    ::_exit(99);
  }
}
std::string read_file(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

void send_fd(int socket, int fd) {
  if (!base::send_with_fds(socket, "l", {&fd, 1}, 0)) ::_exit(98);
}
base::Fd receive_fd(int socket) {
  char byte;
  std::vector<base::Fd> fds;
  auto got = base::receive_with_fds(socket, {&byte, 1}, fds, 0);
  return got && got->size == 1 && !fds.empty() ? std::move(fds.front()) : base::Fd();
}

void say(int socket) {
  if (::send(socket, "g", 1, MSG_NOSIGNAL) != 1) ::_exit(97);
}
void hear(int socket) {
  char byte = 0;
  if (::recv(socket, &byte, 1, 0) != 1) ::_exit(96);
}

void give_pool(pid_t pid) {
  const std::string map = "0 200000 1\n1 200001 1999\n65534 202000 2\n";
  for (const char* which : {"uid_map", "gid_map"})
    write_file("/proc/" + std::to_string(pid) + "/" + which, map);
}
// Planned: 0..999 and 60000; all else of the window by alias.
void give_nested(pid_t pid) {
  const std::string map =
      "0 0 1\n1 1 999\n60000 1633 1\n2130707432 1000 633\n2130708066 1634 365\n65534 65534 1\n";
  for (const char* which : {"uid_map", "gid_map"})
    write_file("/proc/" + std::to_string(pid) + "/" + which, map);
}

// A program that was started outside of the pool may not be traced from inside once it has changed
// its ids, so the task starts this test once more, in the pool.
constexpr const char* kStage = "UNI_SUPERVISED";  // "SOCKET PIPE"
[[noreturn]] void start_again(int socket, int pipe) {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::string filter =
      std::string("--gtest_filter=") + test->test_suite_name() + "." + test->name();
  ::setenv(kStage, (std::to_string(socket) + " " + std::to_string(pipe)).c_str(), 1);
  ::fcntl(socket, F_SETFD, 0);
  ::fcntl(pipe, F_SETFD, 0);
  const int quiet = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  ::dup2(quiet, STDOUT_FILENO);
  ::execl("/proc/self/exe", "task", filter.c_str(), nullptr);
  ::_exit(89);
}

[[noreturn]] void be_task(const Options& setup, const std::function<void(Task&)>& body, int socket,
                          int pipe) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Task task(pipe);
  if (setup.before) setup.before();
  if (setup.mode == seccomp::Mode::map) {
    if (::unshare(CLONE_NEWUSER) != 0) ::_exit(95);
    say(socket);
    hear(socket);
  }
  auto listener = seccomp::load_filter(setup.profile, setup.killable);
  if (!listener) {
    task.problem(std::string("load_filter: ") + std::strerror(listener.error().value));
    ::_exit(1);
  }
  send_fd(socket, listener->get());
  listener->reset();
  hear(socket);
  body(task);
  ::_exit(0);
}

// Serves until the task and all that it has started are gone.
[[noreturn]] void supervise(const Options& setup, base::Fd listener, pid_t pid, int socket) {
  auto reactor = ring::Reactor::make();
  auto pool = identity::Pool::parse(read_file("/proc/self/uid_map"));
  auto make = [&] {
    auto slots = std::make_shared<identity::LiveSlots>(
        *pool, pool->hash_range(), identity::Rule::wide, identity::Window{1000, setup.last_slot},
        identity::Collisions::separate);
    if (setup.mode == seccomp::Mode::map) slots->restore(60000, 1633);
    return slots;
  };
  seccomp::Supervisor supervisor(**reactor, {make(), make()});
  supervisor.devices = setup.devices;
  int status = 0;
  base::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  auto watch =
      (*reactor)->watch(process.get(), POLLIN, [&](int) { ::waitpid(pid, &status, WNOHANG); });
  seccomp::ContainerInfo info{.id = "test",
                              .mode = setup.mode,
                              .profile = setup.profile,
                              .killable = setup.killable,
                              .pid = pid};
  auto added = supervisor.add(std::move(listener), info);
  if (!added) {
    std::cerr << added.error().message << "\n";
    ::_exit(94);
  }
  say(socket);
  while (supervisor.listeners() > 0) (*reactor)->turn();
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

[[noreturn]] void be_pool(const Options& setup, int parent, int pipe) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::alarm(kSeconds);
  if (::unshare(CLONE_NEWUSER | CLONE_NEWIPC | CLONE_NEWNS) != 0) ::_exit(93);
  say(parent);
  hear(parent);
  if (::setresgid(0, 0, 0) || ::setgroups(0, nullptr) || ::setresuid(0, 0, 0)) ::_exit(92);
  ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  if (::mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777") != 0) ::_exit(91);
  ::prctl(PR_SET_DUMPABLE, 1);
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) ::_exit(90);
  base::Fd mine(pair[0]), its(pair[1]);
  const pid_t pid = ::fork();
  if (pid == 0) {
    mine.reset();
    start_again(its.get(), pipe);
  }
  its.reset();
  if (setup.mode == seccomp::Mode::map) {
    hear(mine.get());
    give_nested(pid);
    say(mine.get());
  }
  auto listener = receive_fd(mine.get());
  if (listener.valid()) supervise(setup, std::move(listener), pid, mine.get());
  int status = 0;
  ::waitpid(pid, &status, 0);
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

}  // namespace

void Task::problem(const std::string& line) {
  const std::string whole = line + "\n";
  (void)!::write(pipe_, whole.data(), whole.size());
}

std::string run(const Options& setup, const std::function<void(Task&)>& body) {
  int pair[2], ends[2];
  if (const char* stage = ::getenv(kStage)) {
    std::istringstream(stage) >> pair[0] >> ends[0];
    be_task(setup, body, pair[0], ends[0]);
  }
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return "socketpair";
  if (::pipe2(ends, O_CLOEXEC) != 0) return "pipe";
  base::Fd mine(pair[0]), its(pair[1]), out(ends[0]), in(ends[1]);
  const pid_t pid = ::fork();
  if (pid == 0) {
    mine.reset();
    out.reset();
    be_pool(setup, its.get(), in.get());
  }
  its.reset();
  in.reset();
  hear(mine.get());
  give_pool(pid);
  say(mine.get());
  std::string problems;
  char buffer[4096];
  for (ssize_t got; (got = ::read(out.get(), buffer, sizeof buffer)) > 0;)
    problems.append(buffer, static_cast<std::size_t>(got));
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (!WIFEXITED(status)) problems += "killed by signal " + std::to_string(WTERMSIG(status)) + "\n";
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
    problems += "exit " + std::to_string(WEXITSTATUS(status)) + "\n";
  return problems;
}

void in_child(Task& task, const std::function<void()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (status != 0) task.problem("a child ended with status " + std::to_string(status));
}

std::string kernel_ids(const std::string& line) {
  std::istringstream text(read_file("/proc/thread-self/status"));
  for (std::string one; std::getline(text, one);)
    if (one.rfind(line + ":\t", 0) == 0) {
      std::string ids = one.substr(line.size() + 2);
      for (char& c : ids) c = c == '\t' ? ' ' : c;
      return ids;
    }
  return "none";
}

}  // namespace supervised
