#include "seccomp/acl_value.hpp"

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include <cstring>

namespace seccomp {

bool translate_acl(std::span<std::byte> value,
                   const std::function<identity::Id(bool group, identity::Id)>& translate) {
  posix_acl_xattr_header header;
  posix_acl_xattr_entry entry;
  if (value.size() < sizeof header || (value.size() - sizeof header) % sizeof entry) return false;
  std::memcpy(&header, value.data(), sizeof header);
  if (header.a_version != POSIX_ACL_XATTR_VERSION) return false;
  bool differs = false;
  for (std::size_t at = sizeof header; at < value.size(); at += sizeof entry) {
    std::memcpy(&entry, value.data() + at, sizeof entry);
    if (entry.e_tag != ACL_USER && entry.e_tag != ACL_GROUP) continue;
    const identity::Id id = translate(entry.e_tag == ACL_GROUP, entry.e_id);
    differs |= id != entry.e_id;
    entry.e_id = id;
    std::memcpy(value.data() + at, &entry, sizeof entry);
  }
  return differs;
}

}  // namespace seccomp
