// Owns: the bytes of a POSIX ACL as its xattr has them (linux/posix_acl_xattr.h): a version, then
// entries of tag, permissions, id. Called by: on_acl. Never: touches anything but the ids.
#pragma once
#include <cstddef>
#include <functional>
#include <span>

#include "identity/hash_slot.hpp"

namespace seccomp {

/// Replaces the ids of entries that name a user or a group. False: not an ACL, or nothing differs.
bool translate_acl(std::span<std::byte> value,
                   const std::function<identity::Id(bool group, identity::Id)>& translate);

}  // namespace seccomp
