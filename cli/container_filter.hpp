// Owns: whether a container gets a supervisor, and the edit of its bundle for that. Called by: the
// verbs runtime and hook. Never: keeps a container from starting that can do without.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/config.hpp"
#include "runtime/json_file.hpp"
#include "runtime/spec.hpp"
#include "seccomp/container.hpp"

namespace cli {

struct ContainerFilter {
  seccomp::Mode mode = seccomp::Mode::map;
  std::optional<seccomp::Profile> profile;  // nothing: no filter
  std::string socket;                       // where the runtime brings the listener
  std::string why;                          // there is none; empty: nobody wanted one
};

/// For whom a filter is wanted: whoever can become somebody else, or also who can not, since his
/// own id has another number in the kernel.
enum class Need : std::uint8_t { changes, always };
/// Asks the annotation, the setting and the daemon, which is started if need be and allowed.
/// Refused: an annotation that says nothing known.
base::Checked<ContainerFilter> find_filter(const config::Config& config, seccomp::Mode mode,
                                           const oci::Spec& spec, const oci::Json& bundle,
                                           Need need = Need::changes);

/// Puts it into linux.seccomp. `program`: the runtime that will read it, "" if that is not known.
/// With WAIT_KILLABLE_RECV, if kernel and runtime have it: no signal makes a call begin anew, and
/// what a call tells is written at once, without a stop at its end. The answer are calls that stay
/// as the bundle's own profile has them.
std::vector<std::string> put_filter(oci::Json& bundle, const ContainerFilter& filter,
                                    const std::string& id, const std::string& program);

/// The daemon for a container that has a filter already: an exec brings it another listener.
base::Checked<base::Unit> wake_supervisor(const config::Config& config);

}  // namespace cli
