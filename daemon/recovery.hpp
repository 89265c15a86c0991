// Owns: what a successor needs of each mount, given to the keeper in time, and taking over from the
// daemon before. Called by: Service at start, the verb `mount`, Server when a mount ends. Never:
// gives up all mounts for one: what cannot be rebuilt is logged and let go.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/log.hpp"
#include "base/result.hpp"
#include "daemon/keeper.hpp"
#include "daemon/mount_request.hpp"
#include "daemon/state.hpp"
#include "daemon/tray.hpp"
#include "fusefs/layer_fds.hpp"
#include "fusefs/session.hpp"

namespace serving {

class Server;

class Recovery {
 public:
  Recovery(Server& server, Keeper& keeper) : server_(server), keeper_(keeper) {}

  /// Before the first request is served: rebuilds the mounts of the daemon before us, if there was
  /// one.
  void take_over();

  /// Gives everything that a successor needs to the keeper, before a new mount is served. nullptr:
  /// there is no keeper.
  base::Checked<std::unique_ptr<fusefs::Ledger>> keep(std::uint64_t id, const MountRequest& request,
                                                      const base::Fd& device,
                                                      const fusefs::LayerFds& layers);
  /// So that open files without a name are kept as well.
  void add_hooks(std::uint64_t id, fusefs::Session::Hooks& hooks);
  /// The mount has ended, or was never served.
  void forget(std::uint64_t id);

 private:
  struct Found;
  base::Checked<base::Unit> open_state();
  void open_tray();
  void rebuild_all(std::map<std::uint64_t, Found>& found);
  base::Checked<fusefs::Takeover> rebuild(std::uint64_t id, const Json& asked, Found found);
  void store(std::uint64_t id, const std::string& name, int fd);
  void store_file(const std::string& name, int fd);
  void keep_layers(std::uint64_t id, const std::vector<int>& layers);
  void let_go(std::uint64_t id, const std::string& name);

  Server& server_;
  Keeper& keeper_;
  std::unique_ptr<State> state_;
  std::unique_ptr<Tray> tray_;  // of files without a name; nullptr: there is none
  std::map<std::uint64_t, std::set<std::string>> names_;  // what the keeper has, by mount
  std::size_t stored_ = 0, stored_files_ = 0;
  base::log::Limiter full_{5};
};

}  // namespace serving
