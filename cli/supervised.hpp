// Owns: whether a command or a container is to have a supervisor, which calls that answers, and the
// way to its daemon. Called by: the verbs run, runtime and hook. Never: loads a filter without a
// daemon that has said it will answer.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "config/config.hpp"
#include "runtime/filter.hpp"
#include "seccomp/container.hpp"

namespace serving {
class Client;
}

namespace cli {

/// "auto", "basic", "full" or "off" (`origin` says where the word stands). Nothing: no filter.
base::Checked<std::optional<seccomp::Profile>> read_profile(const std::string& word,
                                                            seccomp::Mode mode,
                                                            const std::string& origin);

/// The daemon that will answer, connected; it is started if need be and allowed.
class SupervisorLink {
 public:
  /// The calling process is in the pool's namespace. The message says why there is none.
  static base::Checked<SupervisorLink> open(const config::Config& config);
  SupervisorLink(SupervisorLink&&) noexcept;
  SupervisorLink& operator=(SupervisorLink&&) noexcept;
  ~SupervisorLink();

  /// Where OCI runtimes bring their listeners.
  const std::string& socket() const;
  /// Loads the filter for this process, which `info` describes, and hands the listener over. False:
  /// an outer supervisor has this process already (EBUSY), and there is no filter of ours. The
  /// namespace may be another one than that of open(). After an error the process can not go on.
  base::Checked<bool> supervise(seccomp::ContainerInfo info);

 private:
  explicit SupervisorLink(std::unique_ptr<serving::Client> daemon);
  std::unique_ptr<serving::Client> daemon_;
};

/// What of the table a profile watches, for the edit of a container's own profile.
std::vector<oci::Watched> watched_calls(seccomp::Profile profile);

}  // namespace cli
