// Owns: nothing; it edits a seccomp profile, as OCI and as docker write it, so that calls are asked
// of a supervisor. Called by: cli (runtime, hook, profile), tests/runtime. Never: lets through what
// the profile denies, or replaces a listener that somebody else has put there.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "runtime/json_file.hpp"

namespace oci {

/// One comparison: (argument & mask) == value.
struct Compare {
  unsigned argument = 0;
  std::uint64_t mask = ~std::uint64_t{0}, value = 0;
  friend bool operator==(const Compare&, const Compare&) = default;
};
using Group = std::vector<Compare>;  // all must hold; each argument at most once

struct Watched {
  std::string name;
  bool absent = false;      // ENOSYS instead of a question
  std::vector<Group> when;  // any of them; none: always
};

struct Watch {
  std::vector<Watched> calls;  // each name once
  std::string listener;        // path of the supervisor's socket; empty: left to the engine
  std::string metadata;        // what the supervisor is told
  bool killable = false;       // SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
};

/// Somebody else's supervisor is in linux.seccomp already.
bool has_listener(const Json& config);

/// Edits linux.seccomp of a bundle. Without one all other calls stay allowed. The result are calls
/// that are left as the profile has them, because it has conditions of its own for them.
std::vector<std::string> watch(Json& config, const Watch& wanted);
/// The same for a profile alone.
std::vector<std::string> watch_profile(Json& profile, const Watch& wanted);

/// A condition that holds wherever one of `any` does, in as few bits as can be: a profile that
/// denies by default needs a rule for each bit, and libseccomp's time grows with their square. The
/// supervisor looks at the arguments again. Empty: it always holds.
Group wider(const std::vector<Group>& any);
/// Groups, no two of which hold at once, for all arguments for which `group` does not hold.
std::vector<Group> rest_of(const Group& group);

}  // namespace oci
