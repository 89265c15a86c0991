#include "cli/planning.hpp"

#include <unistd.h>

#include <set>

#include "daemon/client.hpp"
#include "daemon/identities.hpp"
#include "daemon/mount_request.hpp"
#include "daemon/user_namespace.hpp"

namespace cli {
namespace {

constexpr int kDaemonPatience = 5;  // seconds

identity::IdPlan plan_one(const identity::Pool& pool, identity::LiveSlots& slots,
                          std::vector<identity::Id> ids, const WantedIds& wanted, Purpose purpose,
                          std::size_t& assigned) {
  if (wanted.assigned) {
    slots.refresh();
    for (const auto& one : slots.assignments()) ids.push_back(one.true_id);
  }
  if (purpose == Purpose::look) {
    identity::LiveSlots trial = slots.trial();
    return identity::plan_ids(pool, trial, ids, true, wanted.aliases);
  }
  slots.on_assign([&assigned](const auto&) { ++assigned; });
  identity::IdPlan plan = identity::plan_ids(pool, slots, ids, true, wanted.aliases);
  slots.on_assign(nullptr);
  return plan;
}

// That of the daemon that runs, unless podman's has other ids. Not valid: none.
base::Fd namespace_of_daemon(const config::Config& config, const serving::PauseProcess* pause) {
  std::string path = serving::find_socket(config);
  auto daemon = path.empty() ? base::Checked<serving::Client>(base::refuse("none"))
                             : serving::Client::connect(path);
  if (!daemon || (pause && daemon->hello().maps != serving::IdMaps::of(pause->pid))) return {};
  auto users = serving::open_namespace_of(daemon->hello().pid);
  return users ? std::move(*users) : base::Fd();
}

}  // namespace

base::Checked<std::string> enter_pool(const config::Config& config) {
  if (::geteuid() == 0) return serving::enter_user_namespace({});
  auto pause = serving::open_pause_process();
  base::Fd users = namespace_of_daemon(config, pause ? &*pause : nullptr);
  if (!users.valid() && pause) users = std::move(pause->users);
  return serving::enter_user_namespace(std::move(users));
}

base::Checked<Planned> plan_namespace(const config::Config& config, const WantedIds& wanted,
                                      Purpose purpose) {
  TRY(ids, serving::Identities::of_this_process(
               config, purpose == Purpose::look ? serving::SlotUse::look : serving::SlotUse::plan));
  Planned planned;
  planned.uid_pool = ids.uids;
  planned.gid_pool = ids.gids;
  planned.uids = plan_one(ids.uids, *ids.uid_slots, wanted.uids, wanted, purpose, planned.assigned);
  planned.gids = plan_one(ids.gids, *ids.gid_slots, wanted.gids, wanted, purpose, planned.assigned);
  planned.doubt = planned.assigned > 0 ? tell_daemons(config) : "";
  if (!ids.agreed)
    planned.doubt =
        "XDG_RUNTIME_DIR is not a directory of this user's alone: the slots of this container are "
        "not known to other containers and mounts";
  planned.agreed = planned.doubt.empty();
  return planned;
}

std::string tell_daemons(const config::Config& config) {
  serving::IdMaps here = serving::IdMaps::of_this_process();
  std::vector<std::string> names = serving::socket_names();
  std::set<std::string> sockets(names.begin(), names.end());
  if (!config.daemon.socket.empty()) sockets.insert(config.daemon.socket);
  std::string doubt;
  for (const std::string& path : sockets) {
    if (::access(path.c_str(), F_OK) != 0) continue;
    auto daemon = serving::Client::connect(path);
    if (!daemon || daemon->hello().maps != here) continue;
    auto done = daemon->call({{"verb", "refresh"}}, {}, kDaemonPatience);
    if (!done)
      doubt = "the daemon did not take over new slots, and may show owners as they were (" +
              done.error().message + "); see: usernetes-identity restart";
    if (daemon->hello().identity != serving::identity_settings(config))
      doubt =
          "the daemon runs with other identity settings, and gives other slots; see: "
          "usernetes-identity restart";
  }
  return doubt;
}

}  // namespace cli
