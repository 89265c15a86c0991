// What a peer may try: every attack is refused, counted and leaves no descriptor behind.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <memory>
#include <vector>

#include "tests/daemon/peer.hpp"
#include "tests/daemon/rig.hpp"

namespace {

using daemon_test::Daemon;
using daemon_test::Peer;
using serving::Client;
using serving::Fault;
using testing::HasSubstr;

class ControlAttack : public testing::Test {
 protected:
  void SetUp() override { before_ = daemon_.settled_descriptors(); }
  /// After everything, it serves as before and holds what it held.
  void TearDown() override {
    EXPECT_TRUE(Client::connect(daemon_.socket())) << "it does not serve any more";
    EXPECT_EQ(daemon_.settled_descriptors(), before_);
  }
  /// How often that was turned away so far, as `status` says.
  std::uint64_t faults(Fault fault) {
    auto client = Client::connect(daemon_.socket());
    if (!client) return 0;
    auto status = client->call({{"verb", "status"}});
    if (!status) return 0;
    const char* kind = serving::kFaultNames[static_cast<std::size_t>(fault)].data();
    return serving::number_of((*status)["control"]["rejected"], kind).value_or(0);
  }
  std::string answer_to(const std::string& bytes, std::span<const int> fds = {}) {
    Peer peer(daemon_.socket());
    EXPECT_TRUE(peer.connected());
    peer.send(bytes, fds);
    return peer.rest();
  }
  Daemon daemon_;
  std::size_t before_ = 0;
};

TEST_F(ControlAttack, Garbage) {
  for (std::string bytes :
       {"GET / HTTP/1.1\r\n\r\n", "\n", "{}\n", "[]\n", "null\n", "{\"v\":1\n",
        "{\"v\":1e400,\"verb\":\"hello\"}\n", "{\"v\":\"1\"}\n", "{\"v\":-1,\"verb\":\"hello\"}\n"})
    EXPECT_THAT(answer_to(bytes), HasSubstr("\"ok\":false")) << bytes;
  EXPECT_THAT(answer_to(std::string("\0\xff\xfe\n", 4)), HasSubstr("\"ok\":false"));
  EXPECT_THAT(answer_to("{\"v\":2,\"verb\":\"hello\"}\n"), HasSubstr("version 1"));
  EXPECT_EQ(faults(Fault::garbage) + faults(Fault::version), 11u);
}

TEST_F(ControlAttack, NestedDeeply) {
  std::string deep(200'000, '[');
  EXPECT_THAT(answer_to(deep + "\n"), HasSubstr("depth"));
  std::string objects;
  for (int i = 0; i < 20'000; ++i) objects += "{\"a\":";
  EXPECT_THAT(answer_to(objects + "\n"), HasSubstr("depth"));
  EXPECT_EQ(faults(Fault::garbage), 2u);
}

TEST_F(ControlAttack, ALineWithoutEnd) {
  EXPECT_THAT(answer_to(std::string(300 * 1024, 'x')), HasSubstr("256 kB"));
  EXPECT_EQ(faults(Fault::too_long), 1u);
}

TEST_F(ControlAttack, HalfAMessageAndGone) {
  for (int i = 0; i < 50; ++i) {
    Peer peer(daemon_.socket());
    base::Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    int fd = null.get();
    peer.send("{\"v\":1,\"ver", std::span(&fd, 1));
  }
  daemon_.settled_descriptors();
  EXPECT_EQ(faults(Fault::half), 50u);
}

TEST_F(ControlAttack, DescriptorsNobodyAskedFor) {
  base::Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::vector<int> many(250, null.get());
  EXPECT_THAT(answer_to("{\"v\":1,\"verb\":\"hello\"}\n", many), HasSubstr("no descriptors"));
  EXPECT_EQ(faults(Fault::fds), 1u);
}

TEST_F(ControlAttack, AFloodOfDescriptors) {
  base::Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::vector<int> many(250, null.get());
  Peer peer(daemon_.socket());
  bool taken = true;
  for (int i = 0; i < 20 && taken; ++i) taken = peer.send("x", many);
  EXPECT_THAT(peer.rest(), HasSubstr("more descriptors"));
  EXPECT_EQ(faults(Fault::fds), 1u);
}

TEST_F(ControlAttack, RequestsThatAreNotReadAreAnsweredOneByOne) {
  Peer peer(daemon_.socket());
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "{\"v\":1,\"verb\":\"hello\"}\n";
  peer.send(many);
  for (int i = 0; i < 1000; ++i) EXPECT_THAT(peer.line(), HasSubstr("\"ok\":true"));
}

// More would pile up in memory: it is cut off.
TEST_F(ControlAttack, WhoNeverReadsIsCutOff) {
  Peer peer(daemon_.socket());
  std::string request = "{\"v\":1,\"verb\":\"hello\"}\n", block;
  for (int i = 0; i < 2000; ++i) block += request;
  timeval patience{2, 0};
  ::setsockopt(peer.fd(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  bool taken = true;
  for (int i = 0; i < 400 && taken; ++i) taken = peer.send(block);
  EXPECT_FALSE(taken) << "20 MB of requests whose answers nobody reads";
}

TEST_F(ControlAttack, TenThousandConnections) {
  rlimit most{};
  ::getrlimit(RLIMIT_NOFILE, &most);
  most.rlim_cur = most.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &most);
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 200; ++i) peers.push_back(std::make_unique<Peer>(daemon_.socket()));
  EXPECT_LE(daemon_.descriptors(), before_ + 256 + 8);
  EXPECT_TRUE(Client::connect(daemon_.socket()));
  peers.clear();
  for (int i = 0; i < 10'000; ++i) Peer peer(daemon_.socket());
}

TEST_F(ControlAttack, WhoFindsNoPlaceWaitsForOne) {
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 256; ++i) peers.push_back(std::make_unique<Peer>(daemon_.socket()));
  Peer late(daemon_.socket());
  late.send("{\"v\":1,\"verb\":\"hello\"}\n");
  peers.resize(200);
  EXPECT_THAT(late.line(), HasSubstr("\"ok\":true"));
}

TEST_F(ControlAttack, AnotherUser) {
  std::filesystem::permissions(daemon_.root(), std::filesystem::perms(0711));
  std::filesystem::permissions(daemon_.root() + "/usernetes-identity",
                               std::filesystem::perms(0711));
  std::filesystem::permissions(daemon_.socket(), std::filesystem::perms(0777));
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  pid_t child = ::fork();
  if (child == 0) {
    if (::setresuid(12345, 12345, 12345) != 0) ::_exit(2);
    Peer peer(daemon_.socket());
    peer.send("{\"v\":1,\"verb\":\"hello\"}\n");
    ::_exit(peer.rest().find("own user only") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(faults(Fault::uid), 1u);
}

}  // namespace
