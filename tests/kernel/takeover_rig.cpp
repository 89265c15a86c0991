#include "tests/kernel/takeover_rig.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/unix_socket.hpp"
#include "fusefs/session.hpp"
#include "tests/fusefs/rig.hpp"

namespace kernel_test {

namespace {

long long now_us() {
  timespec ts;
  ::clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000000ll + ts.tv_nsec / 1000;
}

base::Fd copy_of(int fd) {
  return base::Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

constexpr int kPeriods = 2000;  // of a millisecond: as long a successor may take to serve

}  // namespace

TakeoverMount::TakeoverMount(const std::function<void(const std::string& lower)>& prepare,
                             int seconds, const std::string& whiteout, bool asked)
    : whiteout_(whiteout), asked_(asked) {
  for (const char* name : {"/lower", "/upper", "/work", "/merged"}) make_dir(tree_.path() + name);
  if (prepare) prepare(lower());
  void* memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  shared_ = ::new (memory) Shared;
  device_ = base::Fd(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  const std::string options = "fd=" + std::to_string(device_.get()) +
                              ",rootmode=40000,user_id=0,group_id=0,allow_other,"
                              "default_permissions";
  const int mounted = ::mount("takeover", merged().c_str(), "fuse", MS_NOATIME, options.c_str());
  EXPECT_EQ(outcome(mounted), "ok");
  paths_.lower = {lower()};
  paths_.upper = upper();
  paths_.work = tree_.path() + "/work";
  auto layers = fusefs::LayerFds::open(paths_);
  if (!layers) std::abort();
  layers_ = std::move(*layers);
  auto ledger = fusefs::Ledger::create("test");
  if (!ledger) std::abort();
  fresh_ = std::move(*ledger);
  ledger_fd_ = copy_of(fresh_->fd());
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  keep_in_ = base::Fd(ends[0]);
  keep_out_ = base::Fd(ends[1]);
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) std::abort();
  order_in_ = base::Fd(ends[0]);
  order_out_ = base::Fd(ends[1]);
  supervisor_ = ::fork();
  if (supervisor_ == 0) supervise(seconds);
  layers_ = {};
  device_.reset();  // of the mount, only those who serve have it: with them it ends
  fresh_.reset();
  keep_in_.reset();
  keep_out_.reset();
  order_in_.reset();
}

TakeoverMount::~TakeoverMount() {
  if (supervisor_ > 0) end();
  ::munmap(shared_, sizeof(Shared));
}

int TakeoverMount::end() {
  int rc = -1;
  for (int tries = 0; tries < 200 && (rc = ::umount2(merged().c_str(), 0)) != 0; ++tries)
    ::usleep(10000);
  EXPECT_EQ(outcome(rc), "ok") << "unmount";
  if (rc != 0) ::umount2(merged().c_str(), MNT_DETACH);
  order_out_.reset();
  int status = 0;
  ::waitpid(std::exchange(supervisor_, -1), &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void TakeoverMount::die_at(fusefs::Point point, std::uint32_t opcode, int skip) {
  shared_->point = static_cast<int>(point);
  shared_->opcode = static_cast<int>(opcode);
  shared_->skip = skip;
  shared_->armed = 1;
}

void TakeoverMount::kill_now() {
  const int before = shared_->deaths;
  if (::send(order_out_.get(), "k", 1, MSG_NOSIGNAL) != 1) return;
  for (int i = 0; i < kPeriods && !(shared_->deaths > before && shared_->serving); ++i)
    ::usleep(1000);
}

// --- the supervisor ----------------------------------------------------------------------------

void TakeoverMount::supervise(int seconds) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  order_out_.reset();
  const long long deadline = now_us() + seconds * 1000000ll;
  for (bool first = true;; first = false) {
    const pid_t server = ::fork();
    if (server == 0) serve(first);
    fresh_.reset();
    const int status = watch_server(server, deadline);
    shared_->serving = 0;
    take_messages();
    shared_->kept = static_cast<long>(kept_.size());
    if (WIFEXITED(status)) ::_exit(WEXITSTATUS(status));
    if (now_us() > deadline) ::_exit(99);
    ++shared_->deaths;
  }
}

// Until it is dead, by its own hand or by ours: its wait status.
int TakeoverMount::watch_server(pid_t server, long long deadline) {
  const base::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, server, 0)));
  long long kill_at = 0;
  bool orders = true;
  for (;;) {
    const int most = shared_->kill_after_us;
    if (!kill_at && most && shared_->serving) kill_at = now_us() + std::rand() % most;
    pollfd polled[] = {{process.get(), POLLIN, 0},
                       {keep_in_.get(), POLLIN, 0},
                       {orders ? order_in_.get() : -1, POLLIN, 0}};
    const long long left = kill_at ? kill_at - now_us() : 1000;
    const timespec wait = {0, std::clamp<long>(left, 0, 1000) * 1000};
    ::ppoll(polled, 3, &wait, nullptr);
    if (polled[0].revents) break;
    if (polled[1].revents) take_messages();
    char order = 0;
    if (polled[2].revents && ::recv(order_in_.get(), &order, 1, 0) <= 0) orders = false;
    if (order == 'k' || (kill_at && now_us() >= kill_at) || now_us() > deadline) {
      ::kill(server, SIGKILL);
      break;
    }
  }
  int status = 0;
  ::waitpid(server, &status, 0);
  return status;
}

void TakeoverMount::take_messages() {
  for (;;) {
    char text[300];
    std::vector<base::Fd> fds;
    auto got = base::receive_with_fds(keep_in_.get(), text, fds, MSG_DONTWAIT);
    if (!got || got->size == 0) return;
    const std::string name(text + 1, got->size - 1);
    if (text[0] == 'k')
      kept_[name] = fds.empty() ? base::Fd() : std::move(fds.front());
    else
      kept_.erase(name);
  }
}

// --- a server ----------------------------------------------------------------------------------

void TakeoverMount::send_kept(char what, const std::string& name, int fd) {
  std::span<const int> fds(&fd, fd >= 0 ? 1 : 0);
  (void)!base::send_with_fds(keep_out_.get(), what + name, fds, 0);
}

void TakeoverMount::arm(fusefs::Ledger& ledger) {
  Shared* shared = shared_;
  ledger.on_point = [shared](fusefs::Point point, std::uint32_t opcode) {
    if (!shared->armed || static_cast<int>(point) != shared->point ||
        static_cast<int>(opcode) != shared->opcode)
      return;
    if (shared->skip-- > 0) return;
    shared->armed = 0;
    ::raise(SIGKILL);
  };
}

void drop_dac_override() {
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  EXPECT_EQ(::syscall(SYS_capget, &head, data), 0);
  data[0].effective &= ~(1u << CAP_DAC_OVERRIDE);
  EXPECT_EQ(::syscall(SYS_capset, &head, data), 0);
}

void TakeoverMount::serve(bool first) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (asked_) drop_dac_override();
  auto complain = [&](const std::string& text) {
    std::fprintf(stderr, "server: %s\n", text.c_str());
    ++shared_->broken;
    ::_exit(3);
  };
  fusefs::OverlayOptions options;
  if (whiteout_ == "file") options.whiteout = fusefs::WhiteoutForm::file;
  auto stack = fusefs::LayerStack::adopt(std::move(layers_), paths_, options);
  if (!stack) complain(stack.error().message);
  auto reactor = ring::Reactor::make();
  if (!reactor) complain(reactor.error().message);
  constexpr char kFullMap[] = "0 0 4294967295\n";
  auto overlay =
      std::make_unique<fusefs::Overlay>(std::move(*stack), fusefs_test::mapper(kFullMap),
                                        fusefs_test::mapper(kFullMap), options, **reactor);
  if (!first) {
    auto ledger = fusefs::Ledger::adopt(copy_of(ledger_fd_.get()));
    if (!ledger) complain(ledger.error().message);
    fresh_ = std::move(*ledger);
    if (shared_->hide_resend)
      const_cast<fusefs::layout::Head&>(fresh_->head()).agreed.flags &= ~fusefs::wire::kHasResend;
  }
  arm(*fresh_);
  fusefs::Session::Hooks hooks;
  hooks.on_end = [&](int) { (*reactor)->stop(); };
  hooks.keep = [this](const std::string& name, int fd) { send_kept('k', name, fd); };
  hooks.drop = [this](const std::string& name) { send_kept('d', name, -1); };
  fusefs::Session session(**reactor, std::move(device_), std::move(overlay), std::move(hooks),
                          std::move(fresh_));
  if (!first) {
    const long long begun = now_us();
    auto taken = session.take_over(std::move(kept_));
    if (!taken) complain(taken.error().message);
    shared_->nodes = static_cast<long>(taken->nodes);
    shared_->handles = static_cast<long>(taken->handles);
    shared_->lost += static_cast<long>(taken->lost);
    shared_->longest_stall_us = std::max<long>(shared_->longest_stall_us, now_us() - begun);
  }
  shared_->server = ::getpid();
  shared_->serving = 1;
  (*reactor)->run();
  ::_exit(shared_->broken ? 3 : 0);
}

}  // namespace kernel_test
