// Owns: nothing; it turns a seccomp profile as docker and podman write it into OCI's form. Called
// by: the verb profile. Never: decides what a container may do: terms are taken as podman would for
// a container without options.
#pragma once
#include "runtime/json_file.hpp"

namespace oci {

/// Has terms or architectures that OCI's form does not know.
bool is_dockers(const Json& profile);
/// For this machine's architecture, and the capabilities that podman gives by default.
Json without_terms(const Json& profile);

}  // namespace oci
