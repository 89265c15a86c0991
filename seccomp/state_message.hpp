// Owns: what a runtime sends with a listener: OCI's ContainerProcessState, and our metadata in it.
// Called by: daemon/supervision. Never: believes a word of it: sizes, kinds and numbers are
// checked.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "seccomp/container.hpp"

namespace seccomp {

struct StateMessage {
  ContainerInfo info;
  bool ours = false;         // the metadata is; else it came with somebody else's profile
  std::size_t listener = 0;  // which of the descriptors is the listener ("seccompFd" in fds)
};

inline constexpr std::size_t kMostState = 1 << 20;  // bytes
/// Without our metadata: mode slot and profile full, which is right for any filter.
base::Checked<StateMessage> parse_state(std::string_view json);

std::string_view mode_name(Mode mode);
std::string_view profile_name(Profile profile);
std::optional<Mode> mode_named(std::string_view name);
std::optional<Profile> profile_named(std::string_view name);

/// Our metadata, for config.json's linux.seccomp.listenerMetadata.
std::string metadata_text(const ContainerInfo& info);

}  // namespace seccomp
