#include "cli/systemctl.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <cstdlib>

#include "base/fd.hpp"
#include "base/io.hpp"
#include "base/wait.hpp"

extern char** environ;

namespace cli {
namespace {

constexpr std::size_t kMostOutput = 1 << 20;

}  // namespace

bool has_manager() {
  const char* directory = std::getenv("XDG_RUNTIME_DIR");
  if (!directory || !*directory) return false;
  return ::access((std::string(directory) + "/systemd/private").c_str(), F_OK) == 0;
}

std::optional<std::string> systemctl(std::vector<const char*> words) {
  words.insert(words.begin(), {"systemctl", "--user"});
  words.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  base::Fd out(ends[0]), in(ends[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  for (int fd : {0, 2}) ::posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  ::posix_spawn_file_actions_adddup2(&actions, in.get(), 1);
  pid_t child = -1;
  int failed = ::posix_spawnp(&child, "systemctl", &actions, nullptr,
                              const_cast<char* const*>(words.data()), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  in.reset();
  if (failed != 0) return std::nullopt;
  auto text = base::read_all(out.get(), kMostOutput);
  out.reset();  // who writes on is not waited for
  const int status = base::wait_for(child);
  if (status != 0 || !text) return std::nullopt;
  return std::move(*text);
}

}  // namespace cli
