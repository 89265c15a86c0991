// A daemon as a process, with its holder or with a service manager that is this test.
#include "daemon/service.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "daemon/client.hpp"
#include "daemon/detach.hpp"

namespace serving {
namespace {

class ServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: a plain user's daemon makes a namespace";
    // Orphans come to us: a holder that outlives a test is seen, and its end waited for.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    char text[] = "/tmp/service.XXXXXX";
    dir = ::mkdtemp(text);
    ::setenv("XDG_RUNTIME_DIR", dir.c_str(), 1);
    path = dir + "/usernetes-identity/test.sock";
    std::filesystem::create_directory(dir + "/usernetes-identity");
    std::filesystem::permissions(dir + "/usernetes-identity", std::filesystem::perms::owner_all);
  }
  void TearDown() override {
    if (dir.empty()) return;
    if (auto client = Client::connect(path)) (void)client->call({{"verb", "stop"}, {"now", true}});
    for (int i = 0; i < 500 && ::waitpid(-1, nullptr, WNOHANG) >= 0; ++i) ::usleep(10'000);
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a process is left";
    std::filesystem::remove_all(dir);
  }

  // The exit code of `usernetes-identity daemon ARGUMENTS...`, which is waited for.
  int daemon(std::vector<std::string> arguments) { return wait_for(start(std::move(arguments))); }
  static int wait_for(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  // `fds` become 3, 4, ... and LISTEN_FDS.
  pid_t start(std::vector<std::string> arguments, const std::vector<std::string>& variables = {},
              const std::vector<std::pair<std::string, int>>& fds = {}) {
    arguments.insert(arguments.begin(), {UNI_BINARY, "daemon", "--socket", path});
    pid_t child = ::fork();
    if (child != 0) return child;
    std::vector<char*> argv;
    for (std::string& one : arguments) argv.push_back(one.data());
    argv.push_back(nullptr);
    std::vector<std::string> environment = variables;
    environment.push_back("XDG_RUNTIME_DIR=" + dir);
    environment.push_back("LISTEN_PID=" + std::to_string(::getpid()));
    environment.push_back("LISTEN_FDS=" + std::to_string(fds.size()));
    std::string names = "LISTEN_FDNAMES=";
    std::vector<int> high;
    for (const auto& [name, fd] : fds) {
      names += (names.back() == '=' ? "" : ":") + name;
      high.push_back(::fcntl(fd, F_DUPFD, 200));
    }
    environment.push_back(names);
    for (std::size_t i = 0; i < high.size(); ++i) ::dup2(high[i], 3 + static_cast<int>(i));
    std::vector<char*> envp;
    for (std::string& one : environment) envp.push_back(one.data());
    envp.push_back(nullptr);
    ::execve(argv[0], argv.data(), envp.data());
    ::_exit(99);
  }
  pid_t pid() {
    auto client = Client::connect(path);
    return client ? client->hello().pid : -1;
  }
  void ask(Json request) {
    auto client = Client::connect(path);
    ASSERT_TRUE(client) << client.error().message;
    auto answer = client->call(std::move(request));
    EXPECT_TRUE(answer) << answer.error().message;
  }
  // Until the path is gone, at most some seconds.
  bool ended() {
    for (int i = 0; i < 500; ++i, ::usleep(10'000))
      if (!std::filesystem::exists(path)) return true;
    return false;
  }
  std::string dir, path;
};

TEST_F(ServiceTest, ComesBackWhenItServesAndSurvivesAKill) {
  ASSERT_EQ(daemon({"--background"}), 0);
  pid_t first = pid();
  ASSERT_GT(first, 0);
  ::kill(first, SIGKILL);
  pid_t second = pid();  // waits in the socket that the holder keeps
  EXPECT_GT(second, 0);
  EXPECT_NE(second, first);
  ask({{"verb", "restart"}});
  for (int i = 0; i < 200 && pid() == second; ++i) ::usleep(10'000);
  EXPECT_GT(pid(), 0);
  EXPECT_NE(pid(), second);
}

TEST_F(ServiceTest, SaysWhyItCannotStart) {
  std::filesystem::permissions(dir + "/usernetes-identity", std::filesystem::perms::all);
  EXPECT_EQ(daemon({"--background"}), 1);
  std::filesystem::permissions(dir + "/usernetes-identity", std::filesystem::perms::owner_all);
}

TEST_F(ServiceTest, TwoAtOnceEndAsOne) {
  pid_t pids[4];
  int good = 0;
  for (pid_t& one : pids) one = start({"--background"});
  for (pid_t one : pids) good += wait_for(one) == 0;
  EXPECT_EQ(good, 1);
  EXPECT_GT(pid(), 0);
}

TEST_F(ServiceTest, LeavesWhenAMountHasStartedItAndNoneIsLeft) {
  ASSERT_EQ(daemon({"--autostart", "--set", "daemon.idle_exit_s=1"}), 0);
  EXPECT_GT(pid(), 0);
  EXPECT_TRUE(ended());
}

TEST_F(ServiceTest, StopDrainAndTermEndIt) {
  for (const char* how : {"stop", "drain"}) {
    ASSERT_EQ(daemon({"--background"}), 0);
    ask({{"verb", how}});
    EXPECT_TRUE(ended()) << how;
  }
  ASSERT_EQ(daemon({"--background"}), 0);
  ::kill(pid(), SIGTERM);
  EXPECT_TRUE(ended());
}

TEST_F(ServiceTest, RestartNeedsSomebodyWhoKeepsTheMounts) {
  base::Fd listener = std::move(listen_at(path)->socket);
  // LISTEN_FDS and a manager that is deaf: nobody keeps anything, but it serves.
  pid_t child = start({}, {"NOTIFY_SOCKET="}, {{"control", listener.get()}});
  auto client = Client::connect(path);
  ASSERT_TRUE(client);
  EXPECT_FALSE(client->call({{"verb", "restart"}}));
  ::kill(child, SIGTERM);
  EXPECT_EQ(wait_for(child), 0);
}

// What systemd does: a datagram socket, the listening socket, the store.
class Manager {
 public:
  explicit Manager(const std::string& path) : path_(path) {
    socket_ = base::Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  }
  /// Waits for a message with this in it, at most 10 s.
  bool hears(const std::string& what) {
    for (pollfd one{socket_.get(), POLLIN, 0}; ::poll(&one, 1, 10'000) > 0;) {
      char text[4096];
      ssize_t size = ::recv(socket_.get(), text, sizeof text, 0);
      if (size > 0 && std::string(text, static_cast<std::size_t>(size)).find(what) == 0)
        return true;
    }
    return false;
  }
  std::string variable() const { return "NOTIFY_SOCKET=" + path_; }

 private:
  std::string path_;
  base::Fd socket_;
};

TEST_F(ServiceTest, UnderAServiceManager) {
  Manager manager(dir + "/notify");
  base::Fd listener = std::move(listen_at(path)->socket);
  std::vector<std::pair<std::string, int>> fds = {{"control", listener.get()}};
  pid_t child = start({}, {manager.variable(), "WATCHDOG_USEC=200000"}, fds);
  EXPECT_TRUE(manager.hears("READY=1"));
  EXPECT_EQ(pid(), child) << "the main process is the one that was started";
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(manager.hears("WATCHDOG=1"));
  ::kill(child, SIGHUP);
  EXPECT_TRUE(manager.hears("RELOADING=1"));
  EXPECT_TRUE(manager.hears("READY=1"));
  // TERM may be a restart: the socket stays, for it is the manager's.
  ::kill(child, SIGTERM);
  EXPECT_EQ(wait_for(child), 0);
  EXPECT_TRUE(std::filesystem::exists(path));
  child = start({}, {manager.variable()}, fds);
  EXPECT_TRUE(manager.hears("READY=1"));
  ask({{"verb", "restart"}});
  EXPECT_EQ(wait_for(child), 75);
}

TEST(DeviceAt, IsThatOfAMount) {
  EXPECT_NE(device_at("/proc"), "");
  EXPECT_EQ(device_at("/proc/nothing is here"), "");
}

}  // namespace
}  // namespace serving
