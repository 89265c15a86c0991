// Our end of the service manager's protocol against a manager made of a socket.
#include "daemon/keeper.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/unix_socket.hpp"

namespace serving {
namespace {

struct Received {
  std::string text;
  std::vector<base::Fd> fds;
};

// One datagram; an empty text when there is none.
Received receive(int socket) {
  Received got;
  std::array<char, 4096> bytes;
  auto received = base::receive_with_fds(socket, bytes, got.fds, MSG_DONTWAIT);
  if (received) got.text.assign(bytes.data(), received->size);
  return got;
}

ino_t inode(int fd) {
  struct stat st {};
  ::fstat(fd, &st);
  return st.st_ino;
}

base::Fd memory() {
  return base::Fd(::memfd_create("test", MFD_CLOEXEC));
}

class KeeperTest : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
    manager = base::Fd(ends[0]);
    keeper = Keeper::over(base::Fd(ends[1]), {});
  }
  base::Fd manager;
  std::unique_ptr<ring::Reactor> reactor = std::move(*ring::Reactor::make(8));
  Keeper keeper;
};

TEST_F(KeeperTest, SaysWhatSystemdUnderstands) {
  keeper.ready();
  EXPECT_EQ(receive(manager.get()).text, "READY=1");
  keeper.status("two\nlines");
  EXPECT_EQ(receive(manager.get()).text, "STATUS=two lines");
  keeper.reloading();
  EXPECT_EQ(receive(manager.get()).text.substr(0, 27), "RELOADING=1\nMONOTONIC_USEC=");
  keeper.ping();
  EXPECT_EQ(receive(manager.get()).text, "WATCHDOG=1");
  keeper.stopping();
  EXPECT_EQ(receive(manager.get()).text, "STOPPING=1");
  keeper.remove("mount-7");
  EXPECT_EQ(receive(manager.get()).text, "FDSTOREREMOVE=1\nFDNAME=mount-7");
}

TEST_F(KeeperTest, StoresTheSameOpenFile) {
  base::Fd file = memory();
  keeper.store("ledger-1", file.get());
  Received got = receive(manager.get());
  EXPECT_EQ(got.text, "FDSTORE=1\nFDPOLL=0\nFDNAME=ledger-1");
  ASSERT_EQ(got.fds.size(), 1u);
  EXPECT_EQ(inode(got.fds[0].get()), inode(file.get()));
}

TEST_F(KeeperTest, SplitsWhatIsTooMuchForOneMessage) {
  std::vector<base::Fd> files;
  std::vector<int> raw;
  for (int i = 0; i < 600; ++i) raw.push_back(files.emplace_back(memory()).get());
  keeper.store("many", raw);
  std::size_t come = 0;
  for (int messages = 0; messages < 3; ++messages) {
    Received got = receive(manager.get());
    for (const base::Fd& fd : got.fds) EXPECT_EQ(inode(fd.get()), inode(raw[come++]));
  }
  EXPECT_EQ(come, 600u);
  EXPECT_EQ(receive(manager.get()).text, "");
}

TEST_F(KeeperTest, RefusesNamesThatTheListCannotHold) {
  EXPECT_TRUE(Keeper::valid_name("mount-1.2"));
  for (const char* name : {"", "a:b", "line\nFDNAME=x", "\xc3\xa4"})
    EXPECT_FALSE(Keeper::valid_name(name)) << name;
  EXPECT_TRUE(Keeper::valid_name(std::string(255, 'x')));
  EXPECT_FALSE(Keeper::valid_name(std::string(256, 'x')));
  keeper.store("a\nREADY=1", memory().get());
  keeper.remove("a\nREADY=1");
  EXPECT_EQ(receive(manager.get()).text, "");
}

// A manager that does not read: nothing blocks, nothing is lost, the order stays.
TEST_F(KeeperTest, WaitsForASlowManagerWithoutBlocking) {
  keeper.attach(*reactor);
  constexpr int kCount = 2000;
  for (int i = 0; i < kCount; ++i) keeper.store("n" + std::to_string(i), memory().get());
  EXPECT_GT(keeper.queued(), 0u);
  std::size_t before = keeper.queued();
  keeper.ping();
  EXPECT_EQ(keeper.queued(), before) << "a ping behind a queue says nothing";
  int next = 0;
  for (int turns = 0; turns < 100'000 && next < kCount; ++turns) {
    for (Received got = receive(manager.get()); !got.text.empty(); got = receive(manager.get())) {
      EXPECT_EQ(got.text, "FDSTORE=1\nFDPOLL=0\nFDNAME=n" + std::to_string(next++));
      EXPECT_EQ(got.fds.size(), 1u);
    }
    if (next < kCount) reactor->turn();
  }
  EXPECT_EQ(next, kCount);
  EXPECT_EQ(keeper.queued(), 0u);
  keeper = Keeper();  // before the reactor, whose timer it has
}

TEST_F(KeeperTest, AManagerThatIsGoneIsNoTrouble) {
  manager.reset();
  keeper.ready();
  keeper.store("x", memory().get());
  EXPECT_EQ(keeper.queued(), 0u);
}

TEST_F(KeeperTest, WithoutAManagerNothingHappens) {
  Keeper none;
  EXPECT_FALSE(none.present());
  none.ready();
  none.store("x", memory().get());
  none.ping();
  EXPECT_EQ(none.queued(), 0u);
}

// Runs `body` in a child, which may change its environment and descriptors; 0 is success.
template <class F>
int in_child(F&& body) {
  pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

void set_variables(std::initializer_list<std::pair<const char*, std::string>> variables) {
  for (const auto& [name, value] : variables) ::setenv(name, value.c_str(), 1);
}

TEST(KeeperEnvironment, TakesDescriptorsByNameAndClearsTheVariables) {
  EXPECT_EQ(in_child([] {
              base::Fd files[3] = {memory(), memory(), memory()};
              ino_t inodes[3];
              int high[3];
              for (int i = 0; i < 3; ++i) {
                inodes[i] = inode(files[i].get());
                high[i] = ::fcntl(files[i].get(), F_DUPFD, 100);
              }
              for (int i = 0; i < 3; ++i) ::dup2(high[i], 3 + i);
              std::string pid = std::to_string(::getpid());
              set_variables({{"LISTEN_PID", pid},
                             {"LISTEN_FDS", "3"},
                             {"LISTEN_FDNAMES", "mount-1:ledger-1:mount-1"},
                             {"WATCHDOG_USEC", "30000000"},
                             {"WATCHDOG_PID", pid}});
              auto keeper = Keeper::from_environment();
              if (!keeper || keeper->present()) return 1;
              NamedFds& inherited = keeper->inherited();
              if (inherited.size() != 3 || inherited.count("mount-1") != 2) return 2;
              if (inode(inherited.find("ledger-1")->second.get()) != inodes[1]) return 3;
              if (!(::fcntl(4, F_GETFD) & FD_CLOEXEC)) return 4;
              if (keeper->watchdog_interval() != std::chrono::seconds(30)) return 5;
              for (const char* name :
                   {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"})
                if (::getenv(name)) return 6;
              return 0;
            }),
            0);
}

TEST(KeeperEnvironment, WhatIsMeantForAnotherProcessIsLeftAlone) {
  EXPECT_EQ(in_child([] {
              set_variables({{"LISTEN_PID", "1"},
                             {"LISTEN_FDS", "2"},
                             {"WATCHDOG_USEC", "1000000"},
                             {"WATCHDOG_PID", "1"}});
              auto keeper = Keeper::from_environment();
              return keeper && keeper->inherited().empty() && !keeper->watchdog_interval() ? 0 : 1;
            }),
            0);
}

TEST(KeeperEnvironment, NonsenseIsRefusedByName) {
  struct Row {
    const char* name;
    std::string value;
  };
  for (const Row& row :
       {Row{"NOTIFY_SOCKET", "relative"}, Row{"NOTIFY_SOCKET", "/nowhere/notify"},
        Row{"NOTIFY_SOCKET", "/" + std::string(200, 'x')}, Row{"LISTEN_FDS", "-1"},
        Row{"LISTEN_FDS", "1000000000"}, Row{"LISTEN_FDS", "600"}, Row{"WATCHDOG_USEC", "soon"}}) {
    EXPECT_EQ(in_child([&] {
                set_variables({{"LISTEN_PID", std::to_string(::getpid())}, {row.name, row.value}});
                auto keeper = Keeper::from_environment();
                return !keeper && keeper.error().message.find(row.name) == 0 ? 0 : 1;
              }),
              0)
        << row.name << "=" << row.value;
  }
}

TEST(KeeperEnvironment, SpeaksToAPathAndToAnAbstractName) {
  char dir[] = "/tmp/keeper.XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  for (std::string address :
       {std::string(dir) + "/notify", "@keeper-test-" + std::string(dir + 12)}) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, address.data(), address.size());
    if (address[0] == '@') name.sun_path[0] = '\0';
    base::Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&name), length), 0);
    EXPECT_EQ(in_child([&] {
                set_variables({{"NOTIFY_SOCKET", address}});
                auto keeper = Keeper::from_environment();
                if (!keeper || !keeper->present() || ::getenv("NOTIFY_SOCKET")) return 1;
                keeper->ready();
                return 0;
              }),
              0);
    EXPECT_EQ(receive(socket.get()).text, "READY=1") << address;
  }
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace serving
