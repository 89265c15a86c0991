#include "daemon/refresh.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "base/log.hpp"
#include "daemon/client.hpp"
#include "daemon/server.hpp"
#include "daemon/verbs.hpp"

namespace serving {
namespace {

namespace log = base::log;
using identity::Id;
using identity::LiveSlots;

constexpr fusefs::NodeId kSlice = 4096;  // nodes looked at before others get their turn

// By table of slots: mounts with a mapping have their own.
using Moved = std::map<const LiveSlots*, std::set<Id>>;

std::size_t learn(LiveSlots& slots, Moved& moved) {
  if (moved.contains(&slots)) return 0;
  slots.refresh();
  std::vector<Id> ids = slots.take_moved();
  moved[&slots] = {ids.begin(), ids.end()};
  return moved[&slots].size();
}

// What the kernel may have cached of one slice of nodes. After a take-over a node's owner may not
// have been read yet.
std::vector<fusefs::NodeId> concerned(fusefs::Overlay& overlay, const Moved& moved,
                                      fusefs::NodeId from) {
  const std::set<Id>& uids = moved.at(overlay.uids().slots().get());
  const std::set<Id>& gids = moved.at(overlay.gids().slots().get());
  std::vector<fusefs::NodeId> found;
  if (uids.empty() && gids.empty()) return found;
  fusefs::NodeId end = std::min(from + kSlice, overlay.nodes().end());
  for (fusefs::NodeId id = from; id < end; ++id) {
    const fusefs::Node* node = overlay.nodes().find(id);
    if (node && (node->stale || uids.contains(node->uid) || gids.contains(node->gid)))
      found.push_back(id);
  }
  return found;
}

}  // namespace

ring::Task<Refreshed> refresh_owners(Server& server) {
  Refreshed done;
  Moved moved;
  done.moved += learn(*server.identities().uid_slots, moved);
  done.moved += learn(*server.identities().gid_slots, moved);
  std::vector<std::uint64_t> mounts;
  for (const auto& served : server.mounts()) {
    done.moved += learn(*served->session->overlay().uids().slots(), moved);
    done.moved += learn(*served->session->overlay().gids().slots(), moved);
    mounts.push_back(served->id);
  }
  if (done.moved == 0) co_return done;
  for (std::uint64_t id : mounts) {
    // It may be gone after each wait.
    for (fusefs::NodeId from = 1; Served* served = server.find(id); from += kSlice) {
      if (from >= served->session->overlay().nodes().end()) break;
      for (fusefs::NodeId node : concerned(served->session->overlay(), moved, from)) {
        served = server.find(id);
        if (!served) break;
        co_await served->session->forget_attributes(node);
        ++done.nodes;
      }
      co_await server.reactor().yield();
    }
  }
  log::line(log::Level::info, "identity.refresh",
            "moved=" + std::to_string(done.moved) + " nodes=" + std::to_string(done.nodes));
  co_return done;
}

ring::Task<void> refresh_quietly(Server& server) {
  (void)co_await refresh_owners(server);
}

void tell_other_daemons(const std::string& own) {
  const std::string request = request_line({{"v", kProtocol}, {"verb", "refresh"}});
  for (const std::string& path : socket_names()) {
    if (path == own) continue;
    // One whose queue is full has much to do, and a daemon reads the journal at each new id.
    auto socket = connect_to(path, SOCK_NONBLOCK);
    if (socket) (void)!::send(socket->get(), request.data(), request.size(), MSG_NOSIGNAL);
  }
}

ring::Task<Answered> verb_refresh(Call& call) {
  Refreshed done = co_await refresh_owners(call.server);
  co_return Json{{"moved", done.moved}, {"nodes", done.nodes}};
}

}  // namespace serving
