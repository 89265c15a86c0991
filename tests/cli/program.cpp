#include "tests/cli/program.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace {

std::string text_of(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> all;
  for (const std::string& word : words) all.push_back(const_cast<char*>(word.c_str()));
  all.push_back(nullptr);
  return all;
}

[[noreturn]] void become(const std::vector<std::string>& words,
                         const std::vector<std::string>& environment,
                         const std::filesystem::path& out, const std::filesystem::path& err) {
  ::alarm(20);
  ::dup2(::open("/dev/null", O_RDONLY), 0);
  ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT, 0600), 1);
  ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT, 0600), 2);
  ::execvpe(words.front().c_str(), pointers(words).data(), pointers(environment).data());
  ::_exit(127);
}

}  // namespace

Ended run_command(const std::vector<std::string>& words,
                  const std::vector<std::string>& environment) {
  TemporaryDirectory directory;
  std::filesystem::path out = directory.path() / "out", err = directory.path() / "err";
  pid_t child = ::fork();
  if (child == 0) become(words, environment, out, err);
  int status = 0;
  ::waitpid(child, &status, 0);
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return {code, text_of(out), text_of(err)};
}

Ended run_program(const std::vector<std::string>& words,
                  const std::vector<std::string>& environment) {
  std::vector<std::string> all = words;
  all.insert(all.begin(), UNI_BINARY);
  return run_command(all, environment);
}

TemporaryDirectory::TemporaryDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "uni-cli-XXXXXX").string();
  path_ = ::mkdtemp(name.data());
}
TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}
