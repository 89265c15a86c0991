// Owns: nothing; it makes kernel settings (sysctl) in a namespace that a container joins. Called
// by: cli/runtime_verb. Never: leaves this process in another namespace: a child enters it.
#pragma once
#include <span>

#include "base/result.hpp"
#include "runtime/kinship.hpp"
#include "runtime/nest.hpp"

namespace oci {

/// The path below /proc/sys of "net.ipv4.ip_forward"; a slash stands for a dot within a part.
/// Empty: no such name can exist.
std::string setting_path(std::string_view name);

/// Each in the namespace of its type among `joined`. The message names the setting.
base::Checked<base::Unit> make_settings(std::span<const Setting> settings,
                                        std::span<const Joined> joined);

}  // namespace oci
