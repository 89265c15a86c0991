#include "tests/supervise/rig.hpp"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <fstream>

#include "base/unix_socket.hpp"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

namespace supervise_test {
namespace {

using seccomp::Answer;
using seccomp::Notice;

void send_descriptor(int socket, int descriptor) {
  if (!base::send_with_fds(socket, "l", {&descriptor, 1}, 0)) ::_exit(97);
}

base::Fd receive_descriptor(int socket) {
  char byte;
  std::vector<base::Fd> fds;
  auto got = base::receive_with_fds(socket, {&byte, 1}, fds, 0);
  return got && got->size == 1 && !fds.empty() ? std::move(fds.front()) : base::Fd();
}

void write_file(const std::string& path, const std::string& text) {
  base::Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  EXPECT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()))
      << path << ": " << std::strerror(errno);
}

[[noreturn]] void be_tracee(const Start& start, const std::function<int()>& body, int socket) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  char byte = 'r';
  if (!start.map.empty()) {
    if (::unshare(CLONE_NEWUSER) != 0) ::_exit(98);
    if (::write(socket, &byte, 1) != 1 || ::read(socket, &byte, 1) != 1) ::_exit(98);
    if (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) ::_exit(98);
  }
  int listener =
      load_filter(start.calls, start.killable ? SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV : 0);
  if (listener < 0) ::_exit(99);
  send_descriptor(socket, listener);
  ::close(listener);
  ::close(socket);
  ::_exit(body());
}

}  // namespace

int load_filter(const std::vector<int>& calls, unsigned flags) {
  std::vector<sock_filter> code{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (int call : calls) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
  }
  code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  long listener = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                            flags | SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  return listener < 0 ? -errno : static_cast<int>(listener);
}

Rig::Rig()
    : reactor(std::move(*ring::Reactor::make())), tracees(*reactor), injector(*reactor, tracees) {
  injector.on_begin = [this](const seccomp::Injected&) { ++begun; };
  injector.on_end = [this](pid_t) { ++ended; };
}

Rig::~Rig() = default;

int Rig::send(std::uint64_t id, const Answer& answer) {
  if (answer.kind == Answer::Kind::silence) return 0;
  seccomp_notif_resp response{};
  response.id = id;
  if (answer.kind == Answer::Kind::value) response.val = answer.number;
  if (answer.kind == Answer::Kind::error) response.error = static_cast<int>(-answer.number);
  if (answer.kind == Answer::Kind::resume) response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  return ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response) == 0 ? 0 : -errno;
}

bool Rig::still_valid(std::uint64_t id) const {
  return ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

ring::Task<Answer> Rig::again(Notice notice, seccomp::Rerun rerun) {
  const std::uint64_t id = notice.id;
  std::function<void()> restart = [this, id] { send(id, Answer::fail(512)); };
  seccomp::Still still = [this, id] { return still_valid(id); };
  seccomp::Ran how = co_await injector.run(notice, std::move(rerun), still, restart);
  ran.push_back(how);
  if (how == seccomp::Ran::traced || how == seccomp::Ran::refused) co_return Answer::fail(EPERM);
  co_return Answer::silence();
}

ring::Task<void> Rig::answer(Notice notice) {
  ++open_;
  Answer answer = co_await decide_(*this, notice);
  send(notice.id, answer);
  --open_;
}

void Rig::handle(Notice notice) {
  switch (injector.expects(notice)) {
    case seccomp::Expected::resume:
      ++resumed;
      if (on_resume) on_resume(notice);
      send(notice.id, Answer::resume());
      return;
    case seccomp::Expected::again:
      ++restarted;
      send(notice.id, Answer::fail(512));
      return;
    case seccomp::Expected::no: break;
  }
  notices.push_back(notice);
  if (on_notice) on_notice(notice);
  ring::spawn(answer(notice));
}

void Rig::take() {
  for (;;) {
    pollfd asked{listener_.get(), POLLIN, 0};
    if (::poll(&asked, 1, 0) != 1) return;
    if (asked.revents & POLLIN) {
      if (on_poll) on_poll();
      seccomp_notif raw{};
      if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &raw) != 0) continue;
      Notice notice{raw.id,        static_cast<pid_t>(raw.pid),  raw.data.nr,
                    raw.data.arch, raw.data.instruction_pointer, {}};
      for (std::size_t i = 0; i < 6; ++i) notice.arguments[i] = raw.data.args[i];
      handle(notice);
    } else {
      hung_up_ = asked.revents & POLLHUP;
      return;
    }
  }
}

void Rig::serve(Decide decide) {
  decide_ = std::move(decide);
  hung_up_ = false;
  ::alarm(90);  // the deadline below is for who still comes to look at it
  watch_ = reactor->watch(listener_.get(), POLLIN, [this](int) { take(); });
  const auto latest = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  std::function<void()> tick;
  ring::Timer timer;
  tick = [&] { timer = reactor->after(100, tick); };
  tick();
  while (!hung_up_ || open_ > 0) {
    reactor->turn();
    if (std::chrono::steady_clock::now() > latest) {
      ADD_FAILURE() << "still waiting: hung_up=" << hung_up_ << " open=" << open_
                    << " running=" << injector.running() << " state=" << status_line(child, "State")
                    << " tracer=" << status_line(child, "TracerPid")
                    << " blocked=" << status_line(child, "SigBlk");
      ::kill(child, SIGKILL);
      break;
    }
  }
  timer.cancel();
  watch_ = {};
}

void Rig::begin(const Start& start, std::function<int()> body) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  base::Fd ours(ends[0]), theirs(ends[1]);
  killable_ = start.killable;
  child = ::fork();
  if (child == 0) be_tracee(start, body, theirs.get());
  theirs.reset();
  if (!start.map.empty()) {
    char byte;
    EXPECT_EQ(::read(ours.get(), &byte, 1), 1);
    write_file("/proc/" + std::to_string(child) + "/uid_map", start.map);
    write_file("/proc/" + std::to_string(child) + "/gid_map", start.map);
    EXPECT_EQ(::write(ours.get(), &byte, 1), 1);
  }
  listener_ = receive_descriptor(ours.get());
  EXPECT_TRUE(listener_.valid()) << "the tracee could not load its filter";
}

void Rig::adopt(const Rig& other) {
  child = other.child;
  killable_ = other.killable_;
  listener_ = base::Fd(::dup(other.listener_.get()));
}

int Rig::run(const Start& start, std::function<int()> body, Decide decide) {
  begin(start, std::move(body));
  if (listener_.valid()) serve(std::move(decide));
  return end();
}

int Rig::end() {
  // Its last files may be in a mount of ours.
  int status = 0;
  ring::Timer timer;
  std::function<void()> tick = [&] { timer = reactor->after(5, tick); };
  tick();
  while (::waitpid(child, &status, WNOHANG) == 0 || open_ > 0) reactor->turn();
  timer.cancel();
  listener_.reset();
  ::alarm(0);
  EXPECT_EQ(injector.running(), 0u);
  EXPECT_EQ(begun, ended);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

ring::Task<Answer> to_slot(Rig& rig, Notice notice) {
  seccomp::Rerun rerun;
  bool any = false;
  for (std::size_t i = 0; i < 3; ++i)
    if (static_cast<std::uint32_t>(notice.arguments[i]) == 60000) {
      rerun.arguments[i] = kSlot;
      any = true;
    }
  if (!any) co_return Answer::resume();
  Answer answer = co_await rig.again(notice, std::move(rerun));
  co_return answer;
}

ring::Task<Answer> other_groups(Rig& rig, Notice notice) {
  seccomp::Rerun rerun;
  std::vector<unsigned> carried{kSlot, 42};
  auto bytes = std::as_bytes(std::span(carried));
  rerun.memory.push_back({notice.arguments[1], {bytes.begin(), bytes.end()}});
  Answer answer = co_await rig.again(notice, std::move(rerun));
  co_return answer;
}

void* shared_bytes(std::size_t size) {
  return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

std::string status_line(pid_t tid, const std::string& key) {
  std::ifstream file("/proc/" + std::to_string(tid) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key + ":\t")) return line.substr(key.size() + 2);
  return "no line " + key;
}

}  // namespace supervise_test
