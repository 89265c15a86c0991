// The part of files.hpp that needs other processes: stories told under other credentials, programs.
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>

#include "tests/kernel/files.hpp"

namespace kernel_test {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{-1, -1};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) std::abort();
    read = base::Fd(ends[0]);
    write = base::Fd(ends[1]);
  }
  base::Fd read, write;
};

std::string told_by_child(const std::function<bool()>& become,
                          const std::function<std::string()>& story) {
  Pipe answer;
  const pid_t child = fork();
  if (child < 0) return "<fork>";
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    umask(022);
    const std::string text = become() ? story() : "<credentials>";
    size_t done = 0;
    while (done < text.size()) {
      const ssize_t count = write(answer.write.get(), text.data() + done, text.size() - done);
      if (count <= 0) break;
      done += static_cast<size_t>(count);
    }
    _exit(0);
  }
  answer.write.reset();
  std::string text;
  std::array<char, 4096> chunk{};
  ssize_t count = 0;
  while ((count = read(answer.read.get(), chunk.data(), chunk.size())) > 0) {
    text.append(chunk.data(), static_cast<size_t>(count));
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return "<killed " + std::to_string(WTERMSIG(status)) + ">";
  return text;
}

/// Moves what is readable into the texts; false when both writers' ends are closed.
bool drain(const Pipe& out, const Pipe& err, Ran& ran, std::array<bool, 2>& open, int wait_ms) {
  std::array<pollfd, 2> polled = {pollfd{open[0] ? out.read.get() : -1, POLLIN, 0},
                                  pollfd{open[1] ? err.read.get() : -1, POLLIN, 0}};
  poll(polled.data(), polled.size(), wait_ms);
  std::array<char, 65536> chunk{};
  for (size_t i = 0; i < 2; ++i) {
    if (polled[i].revents == 0) continue;
    const ssize_t count = read(polled[i].fd, chunk.data(), chunk.size());
    if (count <= 0) open[i] = false;
    if (count > 0) (i == 0 ? ran.out : ran.err).append(chunk.data(), static_cast<size_t>(count));
  }
  return open[0] || open[1];
}

[[noreturn]] void become_program(const std::vector<std::string>& argv, const std::string& cwd,
                                 const Pipe& out, const Pipe& err) {
  std::vector<char*> words;
  for (const auto& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const base::Fd null(open("/dev/null", O_RDONLY));
  dup2(null.get(), 0);
  dup2(out.write.get(), 1);
  dup2(err.write.get(), 2);
  if (!cwd.empty() && chdir(cwd.c_str()) != 0) _exit(126);
  execvp(words[0], words.data());
  _exit(127);
}

}  // namespace

std::string run_as(uid_t uid, gid_t gid, const std::vector<gid_t>& groups,
                   const std::function<std::string()>& story) {
  const auto become = [&] {
    return setgroups(groups.size(), groups.data()) == 0 && setresgid(gid, gid, gid) == 0 &&
           setresuid(uid, uid, uid) == 0;
  };
  return told_by_child(become, story);
}

std::string run_in(const std::string& root, uid_t uid, const std::function<std::string()>& story) {
  const auto become = [&] {
    return chroot(root.c_str()) == 0 && chdir("/") == 0 && setgroups(0, nullptr) == 0 &&
           setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0;
  };
  return told_by_child(become, story);
}

Ran run(const std::vector<std::string>& argv, const std::string& cwd, int seconds) {
  Pipe out;
  Pipe err;
  Ran ran;
  const pid_t child = fork();
  if (child < 0) return ran;
  if (child == 0) become_program(argv, cwd, out, err);
  out.write.reset();
  err.write.reset();
  std::array<bool, 2> open = {true, true};
  const auto end = Clock::now() + std::chrono::seconds(seconds);
  int status = 0;
  bool ended = false;
  while (Clock::now() < end) {
    const bool more = drain(out, err, ran, open, 20);
    if (!ended && waitpid(child, &status, WNOHANG) == child) ended = true;
    if (ended && !more) break;
    if (!more && !ended) usleep(500);
  }
  ran.pipes_closed = !open[0] && !open[1];
  if (!ended) {
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return ran;
  }
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ran;
}

}  // namespace kernel_test
