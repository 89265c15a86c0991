// Owns: the filter, made of kCalls: as JSON for OCI runtimes, as a program for run. Called by: the
// verbs run, runtime, profile. Never: allows what its base denies.
#pragma once
#include <linux/filter.h>

#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "seccomp/calls.hpp"
#include "seccomp/container.hpp"

namespace seccomp {

/// One rule as OCI's linux.seccomp.syscalls has it.
struct Rule {
  std::vector<std::string> names;
  bool notify = true;  // false: ENOSYS
  std::vector<Condition> all;
};
/// What of kCalls a profile intercepts. Names without conditions are together in one rule.
std::vector<Rule> rules_of(Profile profile);

/// The filter as a program of the kernel's: 32-bit programs by their own numbers; 16-bit id calls
/// and x32 get ENOSYS.
base::Result<std::vector<sock_filter>> filter_program(Profile profile);

/// Loads the filter for the calling thread (and all it will start). `killable`:
/// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV; EINVAL: this kernel has no such flag. Needs
/// CAP_SYS_ADMIN or no_new_privs (EACCES). EBUSY: somebody supervises us already. The listener is
/// close-on-exec.
base::Result<base::Fd> load_filter(Profile profile, bool killable);
/// Whether this kernel has that flag (Linux 5.19).
bool has_wait_killable();

}  // namespace seccomp
