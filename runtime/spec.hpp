// Owns: nothing; it reads what concerns ids and namespaces from config.json and process.json (OCI
// runtime specification 1.x). Called by: cli/runtime_verb, cli/hook_verb. Never: changes the JSON,
// or takes a number for an id that is none.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "identity/hash_slot.hpp"
#include "runtime/json_file.hpp"

namespace oci {

using identity::Id;

/// What we write into a bundle, and what a user may have written there.
inline constexpr const char* kModeAnnotation = "org.usernetes.identity.mode";
inline constexpr const char* kIdsAnnotation = "org.usernetes.identity.ids";
inline constexpr const char* kProfileAnnotation = "org.usernetes.identity.profile";
/// Tells a user namespace that an earlier call of ours has added: it is planned anew.
inline constexpr const char* kMapsAnnotation = "org.usernetes.identity.maps";

/// An id without which the container can not start, and where it stands: "process.user.uid".
struct Must {
  Id id = 0;
  std::string key;
};

/// One of linux.namespaces. Without a path it is a new one.
struct Namespace {
  std::string type, path;
};

struct Spec {
  std::vector<Must> uids, gids;    // of the process and of mount options
  std::vector<Id> terminal_gids;   // gid= of devpts mounts: good to have
  std::string root;                // root.path as it stands
  std::string ids, mode, profile;  // the annotations
  bool no_new_privileges = false;
  bool ambient = false;  // the process has capabilities that outlast an exec
  /// none: there is no user namespace in the bundle. ours: it is of an earlier call.
  enum class Users : std::uint8_t { none, engine, ours } users = Users::none;
  std::vector<Namespace> namespaces;  // all but the user namespace
  bool sandbox = false;               // other containers will join its namespaces
};

/// `name` begins each message: the path of the file.
base::Checked<Spec> read_spec(const Json& config, const std::string& name);

/// The ids of `process` as it stands in process.json.
struct ProcessIds {
  std::vector<Must> uids, gids;
};
base::Checked<ProcessIds> read_process(const Json& process, const std::string& name);
/// `exec --user UID[:GID]` and `--additional-gids`. A text that is no number is the runtime's to
/// judge, and names no id.
ProcessIds read_user_option(const std::string& user, const std::vector<std::string>& groups);

/// What kMapsAnnotation says for a user namespace as it stands in `linux`.
std::string maps_mark(const Json& linux_part);

/// The member `key`, nullptr if there is none. Refused: a spelling that differs in case only, which
/// runc (in Go) would take for the same key and crun would not.
base::Checked<const Json*> member(const Json& object, const char* key, const std::string& where);

}  // namespace oci
