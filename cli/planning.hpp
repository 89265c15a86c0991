// Owns: what all verbs that plan have in common: to be in the pool's namespace, the pool and its
// slots as they are now, the plan for both kinds of ids, and that the daemon hears of it.
// Called by: the verbs plan, run, runtime and map. Never: starts a daemon, or reads an image.
#pragma once
#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/config.hpp"
#include "identity/id_plan.hpp"
#include "identity/pool.hpp"

namespace cli {

struct WantedIds {
  std::vector<identity::Id> uids, gids;  // most important first, duplicates count once
  /// And, after these, all that have slots already: for a namespace that others will join.
  bool assigned = false;
  /// There will be a supervisor: slots that nobody has planned are to be in the map as well.
  identity::Aliases aliases = identity::Aliases::none;
};

struct Planned {
  identity::IdPlan uids, gids;
  identity::Pool uid_pool = identity::Pool::full();  // of our namespace: whom the plan is for
  identity::Pool gid_pool = identity::Pool::full();
  /// Slots are agreed on with the user's other processes. False: `doubt` says why not, and what to
  /// do; the container runs all the same, but mounts may show its files as somebody else's.
  bool agreed = true;
  std::string doubt;
  std::size_t assigned = 0;  // slots that this plan was the first to want
};

/// A plain user becomes root of the user namespace of the daemon that runs, which can not supervise
/// who is in another; else of podman's, also where that has other ids than the daemon's; else of
/// one like it. Who is root already stays. Before anything else: not possible with threads or a
/// ring. The text says what was done.
base::Checked<std::string> enter_pool(const config::Config& config = {});

/// `claim`: for a container that starts now; the daemon, if one runs, is told of new slots.
/// `look`: as it would be; nothing is assigned.
enum class Purpose : std::uint8_t { claim, look };
base::Checked<Planned> plan_namespace(const config::Config& config, const WantedIds& wanted,
                                      Purpose purpose = Purpose::claim);

/// Lets the daemons that serve this namespace take over new slots at once, so that files whose
/// owners have moved are shown right. Nothing happens where none runs; one that does not answer
/// within seconds is passed over. The answer is what a user should know, usually "".
std::string tell_daemons(const config::Config& config);

}  // namespace cli
