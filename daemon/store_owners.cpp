#include "daemon/store_owners.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "ring/at.hpp"

namespace serving {
namespace {

namespace at = ring::at;
using identity::Id;
using identity::kNoId;

// Attributes of what can have them are the descriptor's. A symlink's, fifo's, ... lie beside it.
at::Where where_of(const seccomp::StoreFile& file) {
  if (fusefs::OwnerStore::is_special(file.st.st_mode) && file.directory.valid())
    return {file.directory.get(), file.name};
  return at::by_fd(file.file.get());
}

std::vector<std::string> paths_of(const std::string& list) {
  std::vector<std::string> paths;
  for (std::size_t begin = 0; begin < list.size();) {
    const std::size_t end = std::min(list.find(':', begin), list.size());
    std::string path = list.substr(begin, end - begin);
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    if (path.starts_with('/')) paths.push_back(std::move(path));
    begin = end + 1;
  }
  return paths;
}

}  // namespace

StoreOwners::StoreOwners(const Identities& ids, fusefs::IdMapper uids, fusefs::IdMapper gids,
                         std::vector<std::string> stores)
    : uid_pool_(ids.uids),
      gid_pool_(ids.gids),
      uids_(std::move(uids)),
      gids_(std::move(gids)),
      stores_(std::move(stores)) {}

base::Checked<std::unique_ptr<StoreOwners>> StoreOwners::make(const Identities& ids,
                                                              const config::Config& config) {
  config::MountOptions plain;
  plain.config = config;
  TRY(uids, ids.uid_mapper(plain));
  TRY(gids, ids.gid_mapper(plain));
  return std::make_unique<StoreOwners>(ids, std::move(uids), std::move(gids),
                                       paths_of(config.engine.stores));
}

// Root is root's slot, and nobody else's, unless root is all that there is. An empty file may be a
// device.
bool StoreOwners::may_differ(const struct stat& st) const {
  if (S_ISREG(st.st_mode) && st.st_size == 0) return true;
  return st.st_uid != 0 || st.st_gid != 0 || uids_.disk(1) == 0 || gids_.disk(1) == 0;
}

fusefs::Facts StoreOwners::read(const seccomp::StoreFile& file) const {
  return store_.read(where_of(file), file.st, file.directory.valid());
}

seccomp::Truth StoreOwners::truth(const seccomp::StoreFile& file) {
  const fusefs::Facts facts = read(file);
  return {facts.owner.uid, facts.owner.gid, facts.device};
}

base::Result<> StoreOwners::make_device(const base::Fd& directory, const std::string& name,
                                        mode_t mode, const identity::Device& device) {
  const at::Where where{directory.get(), name};
  TRY(file, at::open(where, O_RDWR | O_CREAT | O_EXCL, 0600));
  auto done = store_.write_device(at::by_fd(file.get()), device);
  if (done) done = base::check(::fchmod(file.get(), mode));
  if (!done) ::unlinkat(directory.get(), name.c_str(), 0);
  return done;
}

base::Result<> StoreOwners::chown(const seccomp::StoreFile& file, Id uid, Id gid) {
  const fusefs::Facts facts = read(file);
  if (facts.error != 0) return base::fail(facts.error);
  const fusefs::Owner plain{file.st.st_uid, file.st.st_gid};
  const bool recorded = facts.owner != plain || facts.corrupt;
  const bool foreign =
      (uid != kNoId && !uid_pool_.contains(uid)) || (gid != kNoId && !gid_pool_.contains(gid));
  if (!foreign && !recorded) return base::fail(ENOENT);
  const fusefs::Owner next{uid == kNoId ? facts.owner.uid : uid,
                           gid == kNoId ? facts.owner.gid : gid};
  return store_.write(where_of(file), file.st.st_mode, next, recorded);
}

}  // namespace serving
