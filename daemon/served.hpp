// Owns: one mount that the server serves: what was asked for, and what serves it. Called by:
// Server, status, recovery. Never: opens a path of a client: its layers come as descriptors.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "config/mount_options.hpp"
#include "daemon/identities.hpp"
#include "daemon/mount.hpp"
#include "daemon/mount_request.hpp"
#include "fusefs/layer.hpp"
#include "fusefs/session.hpp"
#include "ring/reactor.hpp"

namespace serving {

struct Served {
  explicit Served(MountRequest asked);
  ~Served();
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;
  void log_corrupt(const std::string& name);

  MountRequest request;
  std::uint64_t id = 0;
  std::int64_t since = 0;        // time(2)
  std::unique_ptr<Mount> mount;  // only if this process has mounted it
  std::unique_ptr<fusefs::Session> session;
  base::log::Limiter corrupt{10};
};

fusefs::LayerPaths layer_paths(const config::MountOptions& options);
/// Looks at the layers and makes the merged tree of them. Reading them may wait for their disk.
base::Checked<std::unique_ptr<fusefs::Overlay>> make_overlay(const config::MountOptions& options,
                                                             fusefs::LayerFds layers,
                                                             const Identities& ids,
                                                             ring::Reactor& reactor);

}  // namespace serving
