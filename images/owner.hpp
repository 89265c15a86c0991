// Owns: which of the records of a file tells its owner. Called by: the readers of trees and of
// archives. Never: reads an attribute itself.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "identity/owner_record.hpp"
#include "images/found.hpp"

namespace images {

struct Owner {
  Id uid = 0, gid = 0;
};

/// `value(key)`: an attribute of the file as std::optional<std::string_view>. The records are
/// looked at in the order in which they win, the last valid one tells.
template <class Value>
Owner owner_by_records(Owner owner, Value&& value) {
  if (std::optional<std::string_view> text = value(identity::kRootlessXattr))
    if (auto ids = identity::parse_rootlesscontainers(*text)) {
      if (ids->first != identity::kNoId) owner.uid = ids->first;
      if (ids->second != identity::kNoId) owner.gid = ids->second;
    }
  const auto& keys = identity::kOverrideXattrs;
  for (auto key = keys.rbegin(); key != keys.rend(); ++key)
    if (std::optional<std::string_view> text = value(*key))
      if (auto stat = identity::parse_override_stat(*text)) owner = {stat->uid, stat->gid};
  if (std::optional<std::string_view> text = value(identity::kUidXattr))
    if (auto id = identity::parse_id(*text)) owner.uid = *id;
  if (std::optional<std::string_view> text = value(identity::kGidXattr))
    if (auto id = identity::parse_id(*text)) owner.gid = *id;
  return owner;
}

/// `path`: from the image's root, "/etc/passwd".
inline void add_owner(FoundIds& found, Owner owner, const std::string& path) {
  const bool uid = found.uids.add_again(owner.uid, Weight::owner);
  const bool gid = found.gids.add_again(owner.gid, Weight::owner);
  if (uid && gid) return;
  const std::string origin = "owner of " + (path.empty() ? "/" : path);
  if (!uid) found.uids.add(owner.uid, Weight::owner, origin);
  if (!gid) found.gids.add(owner.gid, Weight::owner, origin);
}

}  // namespace images
