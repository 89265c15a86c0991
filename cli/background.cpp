#include "cli/background.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/wait.hpp"
#include "cli/verbs.hpp"

namespace cli {

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int in_background(const std::string& name, const std::function<int(base::Fd ready)>& serve) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return complain(std::string("pipe: ") + std::strerror(errno));
  base::Fd wait_end(ends[0]), ready_end(ends[1]);
  pid_t child = ::fork();
  if (child < 0) return complain(std::string("fork: ") + std::strerror(errno));
  if (child == 0) {
    wait_end.reset();
    std::_Exit(serve(std::move(ready_end)));
  }
  ready_end.reset();
  char byte;
  ssize_t got;
  do got = ::read(wait_end.get(), &byte, 1);
  while (got < 0 && errno == EINTR);
  if (got == 1) return kDone;
  const int status = base::wait_for(child);
  if (WIFSIGNALED(status))
    return complain(name + " died by signal " + std::to_string(WTERMSIG(status)));
  return kFailed;  // it has said why
}

}  // namespace cli
