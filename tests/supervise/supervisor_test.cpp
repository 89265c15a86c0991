// The Supervisor and its Listeners with real filters: who is answered, what is written down for a
// successor, and what a successor makes of it. Real kernel, root.
#include "seccomp/supervisor.hpp"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <set>

#include "identity/live_slots.hpp"
#include "identity/pool.hpp"
#include "seccomp/listener.hpp"
#include "tests/supervise/rig.hpp"

namespace supervise_test {
namespace {

using seccomp::Notice;
using seccomp::NoticeFd;
using Ready = NoticeFd::Ready;

constexpr unsigned kStranger = 70000;

std::shared_ptr<identity::LiveSlots> slots() {
  const auto pool = identity::Pool::parse("0 0 1\n1 1 1999\n65534 2000 2\n");
  return std::make_shared<identity::LiveSlots>(*pool, pool->hash_range(), identity::Rule::wide,
                                               identity::Window{1000, 1998},
                                               identity::Collisions::separate);
}

// A process that really is `uid`, with a filter for getuid and getpriority; it begins when it is
// told to.
class Asker {
 public:
  Asker(unsigned uid, std::function<int()> body) : shared_(shared<Shared>()) {
    pid = ::fork();
    if (pid == 0) {
      ::alarm(20);
      if (::setresuid(uid, uid, uid) != 0) ::_exit(98);
      const int fd = load_filter({SYS_getuid, SYS_getpriority}, 0);
      shared_.listener = fd;
      while (!shared_.go) ::usleep(100);
      ::close(fd);
      ::_exit(body());
    }
    while (shared_.listener == 0) ::usleep(100);
    base::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    const int theirs = shared_.listener;
    listener = base::Fd(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), theirs, 0)));
    EXPECT_TRUE(listener.valid()) << theirs;
  }
  ~Asker() {
    if (pid > 0) ::kill(pid, SIGKILL), ::waitpid(pid, nullptr, 0);
  }
  void go() { shared_.go = true; }
  int end() {
    int status = 0;
    ::waitpid(std::exchange(pid, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  pid_t pid = -1;
  base::Fd listener;

 private:
  struct Shared {
    std::atomic<int> listener;
    std::atomic<bool> go;
  };
  Shared& shared_;
};

struct Log final : seccomp::NoticeLog {
  struct Written {
    std::optional<seccomp::Origin> origin;
    std::vector<std::uint64_t> begun, ended;
    std::vector<std::uint64_t> memory = std::vector<std::uint64_t>(64);
  };
  explicit Log(Written& to) : written(to) {}
  void origin(const seccomp::Origin& one) override { written.origin = one; }
  std::span<std::uint64_t> receiving() override { return written.memory; }
  void begin(const Notice& notice) override { written.begun.push_back(notice.id); }
  void end(std::uint64_t id) override { written.ended.push_back(id); }
  void begin(const seccomp::Injected&) override {}
  void end_injection(pid_t) override {}
  Written& written;
};

class SupervisorTest : public testing::Test {
 protected:
  SupervisorTest() : reactor(std::move(*ring::Reactor::make())) {
    uids = slots();
    slot = uids->claim(kStranger);
    supervisor =
        std::make_unique<seccomp::Supervisor>(*reactor, seccomp::Supervisor::Slots{uids, slots()});
  }
  bool turn_until(const std::function<bool()>& done) {
    const auto latest = std::chrono::steady_clock::now() + std::chrono::seconds(15);
    ring::Timer timer;
    std::function<void()> tick = [&] { timer = reactor->after(10, tick); };
    tick();
    while (!done() && std::chrono::steady_clock::now() < latest) reactor->turn();
    timer.cancel();
    return done();
  }
  seccomp::ContainerInfo info(pid_t pid, std::string id = "c") {
    return {.id = std::move(id), .mode = seccomp::Mode::slot, .pid = pid};
  }
  std::unique_ptr<ring::Reactor> reactor;
  std::shared_ptr<identity::LiveSlots> uids;
  unsigned slot = 0;
  std::unique_ptr<seccomp::Supervisor> supervisor;
};

int is_stranger() {
  for (int i = 0; i < 100; ++i)
    if (::syscall(SYS_getuid) != kStranger) return 1;
  return 0;
}

TEST(NoticeFd, IsNothingElse) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  base::Fd one(ends[0]), other(ends[1]);
  EXPECT_FALSE(NoticeFd::adopt(std::move(one)));
}

TEST(NoticeFd, TellsWhatThereIs) {
  Asker asker(0, [] { return static_cast<int>(::syscall(SYS_getuid)); });
  auto fd = NoticeFd::adopt(std::move(asker.listener));
  ASSERT_TRUE(fd);
  EXPECT_EQ(fd->look(), Ready::nothing);
  asker.go();
  while (fd->look() == Ready::nothing) ::usleep(100);
  EXPECT_EQ(fd->look(), Ready::notice);
  std::vector<std::uint64_t> memory(64, ~0ull);  // not zeroed: receive() has to
  auto notice = fd->receive(memory);
  ASSERT_TRUE(notice);
  EXPECT_EQ(notice->tid, asker.pid);
  EXPECT_EQ(notice->number, SYS_getuid);
  EXPECT_EQ(seccomp::read_notice(memory)->id, notice->id);
  EXPECT_EQ(fd->look(), Ready::nothing);
  EXPECT_TRUE(fd->still_valid(notice->id));
  EXPECT_TRUE(fd->send(notice->id, seccomp::Answer::value(42)));
  EXPECT_FALSE(fd->still_valid(notice->id));
  EXPECT_FALSE(fd->send(notice->id, seccomp::Answer::value(43))) << "answered twice";
  EXPECT_EQ(asker.end(), 42);
  while (fd->look() == Ready::nothing) ::usleep(100);
  EXPECT_EQ(fd->look(), Ready::gone);
}

TEST(NoticeFd, AnAnswerToTheDead) {
  Asker asker(0, [] { return static_cast<int>(::syscall(SYS_getuid)); });
  auto fd = NoticeFd::adopt(std::move(asker.listener));
  ASSERT_TRUE(fd);
  asker.go();
  while (fd->look() == Ready::nothing) ::usleep(100);
  auto notice = fd->receive();
  ASSERT_TRUE(notice);
  ::kill(asker.pid, SIGKILL);
  EXPECT_EQ(asker.end(), -SIGKILL);
  EXPECT_FALSE(fd->still_valid(notice->id));
  auto sent = fd->send(notice->id, seccomp::Answer::value(0));
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().value, ENOENT);
}

TEST_F(SupervisorTest, AnswersAndWritesDown) {
  Asker asker(slot, is_stranger);
  Log::Written written;
  std::vector<std::uint64_t> gone;
  std::string container_gone;
  supervisor->on_gone = [&](std::uint64_t number) { gone.push_back(number); };
  supervisor->on_container_gone = [&](const seccomp::Container& c) { container_gone = c.info.id; };
  auto number =
      supervisor->add(std::move(asker.listener), info(asker.pid), std::make_unique<Log>(written));
  ASSERT_TRUE(number);
  EXPECT_TRUE(written.origin) << "the namespace is to be known before the first call";
  ASSERT_EQ(supervisor->containers().size(), 1u);
  auto container = supervisor->containers().front();
  asker.go();
  ASSERT_TRUE(turn_until([&] { return !gone.empty(); }));
  EXPECT_EQ(asker.end(), 0);
  EXPECT_EQ(gone, std::vector<std::uint64_t>{*number});
  EXPECT_EQ(container_gone, "c");
  EXPECT_EQ(supervisor->listeners(), 0u);
  EXPECT_EQ(written.begun.size(), 100u);
  EXPECT_EQ(written.begun, written.ended);
  EXPECT_EQ(std::set(written.begun.begin(), written.begun.end()).size(), 100u);
  ASSERT_TRUE(container->calls.contains("getuid"));
  EXPECT_EQ(container->calls.at("getuid").count(), 100u);
}

TEST_F(SupervisorTest, ListenersOfOneContainer) {
  Asker one(slot, is_stranger), two(slot, is_stranger), other(slot, is_stranger);
  ASSERT_TRUE(supervisor->add(std::move(one.listener), info(one.pid)));
  ASSERT_TRUE(supervisor->add(std::move(two.listener), info(two.pid)));
  ASSERT_TRUE(supervisor->add(std::move(other.listener), info(0, "late")));
  EXPECT_EQ(supervisor->listeners(), 3u);
  EXPECT_EQ(supervisor->containers().size(), 1u) << "nothing is known of the third one yet";
  EXPECT_EQ(supervisor->containers().front()->listeners, 2u);
  one.go();
  two.go();
  other.go();
  std::set<std::string> seen;
  ASSERT_TRUE(turn_until([&] {
    for (const auto& container : supervisor->containers()) seen.insert(container->info.id);
    return supervisor->listeners() == 0;
  }));
  EXPECT_EQ(one.end() + two.end() + other.end(), 0);
  EXPECT_EQ(seen, (std::set<std::string>{"c", "late"}));
}

// Many threads at once make one event.
TEST_F(SupervisorTest, ACrowd) {
  Asker asker(slot, [] {
    for (int i = 0; i < 24; ++i)
      if (::fork() == 0) ::_exit(is_stranger());
    int wrong = 0, status = 0;
    while (::wait(&status) > 0) wrong += status != 0;
    return wrong;
  });
  ASSERT_TRUE(supervisor->add(std::move(asker.listener), info(asker.pid)));
  asker.go();
  ASSERT_TRUE(turn_until([&] { return supervisor->listeners() == 0; }));
  EXPECT_EQ(asker.end(), 0);
}

// More calls than are served in one go, each the only one of its task: who comes near meanwhile
// must not wait in RECV for what has been taken already, while others ask.
TEST_F(SupervisorTest, ACrowdThatFallsSilent) {
  constexpr int kCrowd = 150;
  auto& asked = shared<std::atomic<int>>();
  auto& enough = shared<std::atomic<bool>>();
  Asker crowd(slot, [&] {
    for (int i = 0; i < kCrowd; ++i) {
      if (::fork() != 0) continue;
      ++asked;
      ::_exit(::syscall(SYS_getuid) != kStranger);
    }
    int wrong = 0, status = 0;
    while (::wait(&status) > 0) wrong += status != 0;
    while (!enough) ::usleep(1000);
    return wrong;
  });
  Asker other(slot, is_stranger);
  ASSERT_TRUE(supervisor->add(std::move(crowd.listener), info(crowd.pid)));
  ASSERT_TRUE(supervisor->add(std::move(other.listener), info(other.pid, "other")));
  crowd.go();
  while (asked < kCrowd) ::usleep(1000);
  ::usleep(100'000);  // now the last of them waits for an answer too
  bool gone = false;
  supervisor->on_gone = [&](std::uint64_t) { gone = true; };
  other.go();
  EXPECT_TRUE(turn_until([&] { return gone; }));
  EXPECT_EQ(other.end(), 0);
  enough = true;
  EXPECT_TRUE(turn_until([&] { return supervisor->listeners() == 0; }));
  EXPECT_EQ(crowd.end(), 0);
}

// One call was received and written down, the other received only: there was no room.
TEST_F(SupervisorTest, ASuccessor) {
  auto answers = [] { return static_cast<int>(::syscall(SYS_getuid) != kStranger); };
  Asker asker(slot, [answers] {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(::syscall(SYS_getpriority, 0, 0) > 0 ? 0 : 1);
    int status = 0;
    const int wrong = answers();
    ::waitpid(child, &status, 0);
    return wrong + 2 * (status != 0);
  });
  base::Fd copy(::dup(asker.listener.get()));
  auto before = NoticeFd::adopt(std::move(copy));
  ASSERT_TRUE(before);
  asker.go();
  seccomp::Unfinished unfinished;
  for (int i = 0; i < 2; ++i) {
    while (before->look() == Ready::nothing) ::usleep(100);
    auto notice = before->receive();
    ASSERT_TRUE(notice);
    unfinished.newest = notice->id;
    if (notice->number == SYS_getuid) unfinished.notices.push_back(*notice);
  }
  ASSERT_EQ(unfinished.notices.size(), 1u);
  Log::Written written;
  ASSERT_TRUE(supervisor->add(std::move(asker.listener), info(asker.pid),
                              std::make_unique<Log>(written), std::move(unfinished)));
  ASSERT_TRUE(turn_until([&] { return supervisor->listeners() == 0; }));
  EXPECT_EQ(asker.end(), 0);
  EXPECT_EQ(written.begun, written.ended);
}

TEST_F(SupervisorTest, WhoDiesWhileItWaits) {
  Asker asker(slot, is_stranger);
  auto fd = NoticeFd::adopt(base::Fd(::dup(asker.listener.get())));
  ASSERT_TRUE(fd);
  asker.go();
  while (fd->look() == Ready::nothing) ::usleep(100);
  ASSERT_TRUE(supervisor->add(std::move(asker.listener), info(asker.pid)));
  ::kill(asker.pid, SIGKILL);
  EXPECT_EQ(asker.end(), -SIGKILL);
  EXPECT_TRUE(turn_until([&] { return supervisor->listeners() == 0; }));
}

}  // namespace
}  // namespace supervise_test
