// Owns: namespaces that a container shall join and that we enter in the runtime's place. Called by:
// cli/runtime_verb. Never: enters another namespace than the one that was there at create.
//
// Why: runc before 1.2 joins the user namespace first; after that the kernel lets it into no
// namespace of another owner, neither at create nor at exec. What is not in config.json it does not
// join: the container inherits the namespaces that the runtime is in.
#pragma once
#include <sys/types.h>

#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "runtime/json_file.hpp"
#include "runtime/kinship.hpp"

namespace oci {

struct Entered {
  std::string type, path;
  ino_t inode = 0;  // of the namespace; 0: not known
};

/// Annotation of a bundle whose list of namespaces lacks some: {"network": "/run/netns/a"}.
inline constexpr const char* kEnteredAnnotation = "org.usernetes.identity.entered";

/// Whether a process can enter one of this type without being born in it.
bool can_be_entered(const std::string& type);
/// Puts the namespaces of the annotation back into the list, and takes the annotation away.
base::Checked<base::Unit> put_back(Json& config, const std::string& name);

/// This process enters them. The message names the path.
base::Checked<base::Unit> enter(std::span<const Entered> all);

/// Whether the runtime says of a container that namespaces were entered for it: for an exec that
/// finds no record.
bool was_entered(const std::string& program, const std::string& root, const std::string& id);

}  // namespace oci
