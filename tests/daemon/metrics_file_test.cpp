#include "daemon/metrics_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/log.hpp"

namespace serving {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class MetricsFileTest : public ::testing::Test {
 protected:
  MetricsFileTest() {
    if (!::mkdtemp(folder.data())) std::abort();
    auto made = Server::make(config::Config{});
    EXPECT_TRUE(made);
    server = std::move(*made);
  }
  ~MetricsFileTest() override {
    base::log::set_sink({});
    std::filesystem::remove_all(folder);
  }
  void run(std::uint32_t milliseconds) {
    bool over = false;
    auto timer = server->reactor().after(milliseconds, [&] { over = true; });
    while (!over) server->reactor().turn();
  }
  static std::string text_of_file(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  std::size_t entries() const {
    auto all = std::filesystem::directory_iterator(folder);
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }
  std::string folder = "/var/tmp/uni-metrics.XXXXXX";
  std::unique_ptr<Server> server;
};

TEST_F(MetricsFileTest, IsWholeReadableAndReplaced) {
  std::string path = folder + "/uni.prom";
  mode_t old = ::umask(077);
  MetricsFile file(*server, nullptr, path, 1);
  run(300);
  ::umask(old);
  struct stat first {
  }, second{};
  ASSERT_EQ(::stat(path.c_str(), &first), 0);
  EXPECT_EQ(first.st_mode & 07777, 0644u) << "whatever the umask";
  EXPECT_THAT(text_of_file(path), StartsWith("# HELP usernetes_identity_build_info "));
  EXPECT_THAT(text_of_file(path), EndsWith("\n"));
  run(1200);
  ASSERT_EQ(::stat(path.c_str(), &second), 0);
  EXPECT_NE(first.st_ino, second.st_ino) << "a new file, not the old one half written";
  EXPECT_EQ(entries(), 1u);
}

/// A name that waits for us in a directory of somebody else leads nowhere.
TEST_F(MetricsFileTest, PlantedLinksAreNotFollowed) {
  std::string path = folder + "/uni.prom", victim = folder + "/victim";
  std::ofstream(victim) << "precious";
  ASSERT_EQ(::symlink(victim.c_str(), path.c_str()), 0);
  ASSERT_EQ(::symlink(victim.c_str(), (path + "." + std::to_string(::getpid())).c_str()), 0);
  MetricsFile file(*server, nullptr, path, 60);
  run(300);
  EXPECT_EQ(text_of_file(victim), "precious");
  EXPECT_TRUE(std::filesystem::is_regular_file(std::filesystem::symlink_status(path)));
  EXPECT_EQ(entries(), 2u);
}

TEST_F(MetricsFileTest, AFolderThatIsNotThereIsSaidAndTheDaemonGoesOn) {
  std::vector<std::string> lines;
  base::log::set_sink([&](auto, std::string_view line) { lines.emplace_back(line); });
  MetricsFile file(*server, nullptr, folder + "/none/uni.prom", 60);
  run(300);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr("event=metrics.file"));
  EXPECT_THAT(lines[0], HasSubstr("/none/uni.prom\" doing=open error=\"No such file"));
}

}  // namespace
}  // namespace serving
