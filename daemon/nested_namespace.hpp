// Owns: putting the calling process into a user namespace of planned ids, and making it one of
// them. Called by: the run verb, before exec. Never: leaves a process behind, or a capability to
// who is not root of the new namespace.
#pragma once
#include <string>
#include <vector>

#include "base/result.hpp"
#include "identity/hash_slot.hpp"

namespace serving {

/// The caller, root of its user namespace and single-threaded, moves into a new one inside it. The
/// texts are those of uid_map and gid_map (outside = ids of the caller's namespace); a child that
/// stays outside writes them and is gone on return. Everything but the credentials stays: mounts,
/// pid, descriptors, signals. No SIGCHLD is sent. Failure: the sentence says what the kernel
/// refused; the process may be in a namespace without ids by then and should end.
base::Checked<base::Unit> enter_nested_namespace(const std::string& uid_map,
                                                 const std::string& gid_map);

/// Who a process shall be, as its own namespace numbers ids.
struct Person {
  identity::Id uid = 0, gid = 0;
  std::vector<identity::Id> groups;  // supplementary
  bool keep_groups = false;          // whatever they are
};

/// Takes all four ids of each kind and the groups, for ever: unless `person` is 0, no capability is
/// left, not even in the inheritable or ambient set. Where the namespace forbids setgroups(2) (a
/// user without sub-ids), an empty list leaves the caller's groups as they are.
base::Checked<base::Unit> become(const Person& person);

/// "/proc/self/setgroups" says deny: setgroups(2) is refused whatever the caller is.
bool groups_are_fixed();

}  // namespace serving
