// Owns: PTRACE_SEIZE with an end. Called by: the injector. Never: waits longer than a few
// milliseconds: the call waits for the process's cred_guard_mutex (ptrace(2) does not say so),
// which a thread of it that execs holds while the program is read - from a mount of our own, it may
// be, which nobody serves while we wait.
#pragma once
#include <sys/types.h>

namespace seccomp {

/// 0, or an errno: ESRCH; EPERM (traced by somebody, forbidden, or dead); EAGAIN: the process is
/// about to exec, to be tried again later.
int seize(pid_t tid);

}  // namespace seccomp
