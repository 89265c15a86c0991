// Owns: the records in an image engine's store of layers, as the supervisor asks for them: what a
// mount finds in a lower layer is what an engine has written through us. Called by: supervision.
// Never: looks for a file: it is given one.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "daemon/identities.hpp"
#include "fusefs/owner_store.hpp"
#include "seccomp/owner_source.hpp"

namespace serving {

class StoreOwners final : public seccomp::OwnerSource {
 public:
  /// The stores are those of the setting engine.stores.
  static base::Checked<std::unique_ptr<StoreOwners>> make(const Identities& ids,
                                                          const config::Config& config);
  StoreOwners(const Identities& ids, fusefs::IdMapper uids, fusefs::IdMapper gids,
              std::vector<std::string> stores);

  std::span<const std::string> stores() const override { return stores_; }
  bool may_differ(const struct stat& st) const override;
  seccomp::Truth truth(const seccomp::StoreFile& file) override;
  base::Result<> chown(const seccomp::StoreFile& file, identity::Id uid, identity::Id gid) override;
  base::Result<> make_device(const base::Fd& directory, const std::string& name, mode_t mode,
                             const identity::Device& device) override;

 private:
  fusefs::Facts read(const seccomp::StoreFile& file) const;
  identity::Pool uid_pool_, gid_pool_;
  fusefs::IdMapper uids_, gids_;
  fusefs::OwnerStore store_{uids_, gids_};
  std::vector<std::string> stores_;
};

}  // namespace serving
