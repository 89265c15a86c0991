// Owns: the filter, made of kCalls: as JSON for OCI runtimes, as a program for run. Called by: the
// verbs run, runtime, profile. Never: allows what its base denies.
#pragma once
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

/// Loads the filter for the calling thread (and all it will start). `killable`:
/// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV where the kernel has it. Needs CAP_SYS_ADMIN or
/// no_new_privs. EBUSY: somebody supervises us already.
base::Result<base::Fd> load_filter(Profile profile, bool killable);

}  // namespace seccomp
