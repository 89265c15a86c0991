// Owns: the picture of a daemon at one moment, and its JSON form (version 1, described in
// docs/STATUS.md). Called by: the verbs status, mounts, inflight and metrics, SIGUSR1's report.
// Never: changes anything, waits, or tells what only the container's owner may know: file names are
// in `inflight` alone.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/protocol.hpp"
#include "daemon/supervision.hpp"
#include "fusefs/overlay.hpp"
#include "fusefs/session_stats.hpp"
#include "identity/live_slots.hpp"
#include "ring/engine.hpp"

namespace serving {

class Control;
class Server;
struct Served;

constexpr int kStatusSchema = 1;

struct MountStatus {
  std::uint64_t id = 0;
  std::string path;
  std::string device;  // "0:57", as mountinfo has it; "" if it was not told
  std::size_t lowers = 0;
  bool writable = false;
  double age_s = 0;
  std::size_t nodes = 0, open = 0, in_flight = 0;
  std::size_t fds = 0;  // descriptors held: layers, directories, open files, the device
  double oldest_s = 0;  // how long the request that waits longest has done so
  fusefs::Counters changes;
  const fusefs::SessionStats* stats = nullptr;  // borrowed: valid until the reactor goes on
};

struct SlotStatus {
  bool full_map = false;  // every id is itself: there are no slots
  std::size_t used = 0, window = 0;
  identity::Id nobody = 0;
  std::vector<identity::LiveSlots::Assignment> second_choice;
  std::uint64_t strangers = 0;
  std::vector<identity::Id> some_strangers;
};

struct ControlStatus {
  std::string socket;
  bool service = false;
  std::size_t connections = 0;
  std::uint64_t accepted = 0, refused_mounts = 0;
  std::map<std::string, std::uint64_t> rejected;
};

struct SupervisionStatus {
  std::string socket;  // for runtimes; "": nobody listens
  std::size_t listeners = 0;
  std::vector<std::shared_ptr<const seccomp::Container>> containers;
  SupervisionTotals totals;  // those that are gone as well
};

struct ProcessStatus {
  std::int64_t pid = 0;
  std::uint64_t rss_bytes = 0, fds = 0, fd_limit = 0;
  double cpu_s = 0;
  std::uint64_t log_lines_suppressed = 0;
  std::string log_level;
};

struct Status {
  std::string version;
  double uptime_s = 0;
  std::string uid_map, gid_map;
  std::vector<MountStatus> mounts;
  std::uint64_t mounts_ever = 0;
  fusefs::SessionStats requests;  // all mounts, those that are gone as well
  fusefs::Counters changes;
  std::uint64_t restarts = 0, mounts_lost = 0, requests_lost = 0;
  double last_takeover_s = 0;
  SlotStatus uid_slots, gid_slots;
  SupervisionStatus supervision;
  std::vector<ControlStatus> control;  // one, or none: a mount served by a process of its own
  ring::EngineState ring;
  std::uint64_t ring_operations = 0;
  ProcessStatus process;
};

/// `control`: may be nullptr.
Status take_status(Server& server, const Control* control);
MountStatus status_of(const Served& served);

/// With `detail` also each operation of each mount.
Json mounts_json(const Status& status, bool detail);
Json containers_json(const Status& status);  // status_containers.cpp
Json supervision_json(const Status& status);
Json status_json(const Status& status);
Json inflight_json(const Server& server);
/// Counts and times by operation: {"lookup": {"requests": 7, "p99_us": 21.5, …}, …}.
Json operations_json(const fusefs::SessionStats& stats);
/// {"ENOENT": 3, …}
Json errors_json(const std::map<int, std::uint64_t>& errors);
/// "ENOENT", or the number where it has no name.
std::string errno_name(int error);
/// The same as lines of the log.
void report_status(Server& server, const Control* control);

}  // namespace serving
