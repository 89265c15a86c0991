// Owns: what the server remembers of mounts that are gone and of daemons before it, so that no
// counter ever falls while it lives. Called by: Server (gone), recovery (sets), status (reads).
// Never: remembers a mount by name: what a container makes often must not fill our memory.
#pragma once
#include <cstdint>

#include "base/clock.hpp"
#include "fusefs/overlay.hpp"
#include "fusefs/session_stats.hpp"

namespace serving {

struct Totals {
  std::int64_t started_ns = base::monotonic_ns();
  std::uint64_t mounts_ended = 0;
  fusefs::SessionStats requests;  // of mounts that are gone
  fusefs::Counters changes;

  /// Set by recovery. All of these are of this daemon and those it followed.
  std::uint64_t restarts = 0;        // how often a successor took over
  std::uint64_t mounts_lost = 0;     // that a successor could not rebuild
  std::uint64_t requests_lost = 0;   // that were answered EIO or EINTR, as nobody could redo them
  double last_takeover_seconds = 0;  // from the start of the process until it served again

  void absorb(const fusefs::SessionStats& stats, const fusefs::Counters& counters) {
    ++mounts_ended;
    requests.merge(stats);
    changes.merge(counters);
  }
};

}  // namespace serving
