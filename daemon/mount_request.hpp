// Owns: what was asked for with one mount, and its form on the control socket and in the ledger.
// Called by: the mount_program (to ask), the verb `mount` and recovery (to do it). Never: opens
// anything: its paths mean something to whoever wrote them, to us they are text.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "config/mount_options.hpp"
#include "daemon/protocol.hpp"

namespace serving {

/// Enough to ask for the same again.
struct MountRequest {
  std::string path;                    // where it is, in the namespace of who mounted it
  std::string device;                  // "0:57", its device number as mountinfo has it; or ""
  std::string mounted_in;              // namespaces of who mounted it: "mnt:[40…] user:[40…]"
  std::vector<std::string> arguments;  // of the mount_program, without its name
  Json settings = Json::object();      // "section.key" to text, of those that a mount brings
  config::MountOptions options;        // parsed from the two

  /// Settings that belong to the process, not to one mount, are `own`, whatever the arguments say.
  static base::Checked<MountRequest> parse(const Json& args, const config::Config& own);
  /// What parse() reads.
  Json as_json() const;
};

/// Whether each mount has a value of its own.
bool is_mount_setting(std::string_view key);
/// The values of those in `config`.
Json mount_settings(const config::Config& config);
/// The identity.* settings: two daemons that differ in them show different owners.
Json identity_settings(const config::Config& config);
/// Whether the two agree in what all mounts of a process share.
bool same_for_process(const config::Config& a, const config::Config& b);

}  // namespace serving
