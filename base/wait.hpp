// Owns: nothing. Called by: whoever has forked and waits for the end of it. Never: used by the
// reactor's thread for a child that may live long.
#pragma once
#include <sys/wait.h>

#include <cerrno>

namespace base {

/// waitpid(2), again where a signal came in between: the wait status, or -1, which is neither
/// WIFEXITED nor WIFSIGNALED, where there is no such child. `options`: of waitpid.
inline int wait_for(pid_t child, int options = 0) {
  int status = 0;
  pid_t ended = 0;
  do ended = ::waitpid(child, &status, options);
  while (ended < 0 && errno == EINTR);
  return ended == child ? status : -1;
}

}  // namespace base
