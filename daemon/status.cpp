#include "daemon/status.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "daemon/control.hpp"
#include "daemon/runtime_dir.hpp"
#include "daemon/server.hpp"

namespace serving {
namespace {

constexpr std::size_t kMostIds = 1024;  // of a list of ids; the counts are exact all the same

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

std::uint64_t open_descriptors() {
  std::unique_ptr<DIR, CloseDir> dir(::opendir("/proc/self/fd"));
  if (!dir) return 0;
  std::uint64_t count = 0;
  while (const dirent* entry = ::readdir(dir.get())) count += entry->d_name[0] != '.';
  return count - 1;  // the one that has just counted
}

std::uint64_t resident_bytes() {
  base::Fd statm(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
  char text[128] = {};
  if (!statm.valid() || ::read(statm.get(), text, sizeof text - 1) <= 0) return 0;
  unsigned long size = 0, resident = 0;
  if (std::sscanf(text, "%lu %lu", &size, &resident) != 2) return 0;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

ProcessStatus process_status() {
  ProcessStatus out;
  out.pid = ::getpid();
  out.rss_bytes = resident_bytes();
  out.fds = open_descriptors();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) out.fd_limit = limit.rlim_cur;
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0)
    out.cpu_s = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
  out.log_lines_suppressed = base::log::suppressed_lines();
  out.log_level = base::log::level_name(base::log::level());
  return out;
}

SlotStatus slot_status(const identity::LiveSlots& slots) {
  SlotStatus out;
  out.full_map = slots.is_full_map();
  auto assignments = slots.assignments();
  out.used = assignments.size();
  out.window = out.used + slots.free_slots();
  out.nobody = slots.nobody_id();
  for (const auto& assignment : assignments)
    if (!assignment.first_choice) out.second_choice.push_back(assignment);
  out.strangers = slots.stranger_count();
  auto some = slots.strangers();
  out.some_strangers.assign(some.begin(), some.begin() + std::min(some.size(), kMostIds));
  return out;
}

ControlStatus control_status(const Control& control) {
  ControlStatus out;
  out.socket = control.path();
  out.service = control.is_service();
  out.connections = control.connections();
  out.accepted = control.counters().accepted;
  out.refused_mounts = control.counters().refused_mounts;
  for (std::size_t kind = 0; kind < kFaultNames.size(); ++kind)
    out.rejected[std::string(kFaultNames[kind])] = control.counters().faults[kind];
  return out;
}

}  // namespace

MountStatus status_of(const Served& served) {
  fusefs::Session& session = *served.session;
  fusefs::Overlay& overlay = session.overlay();
  MountStatus out;
  out.id = served.id;
  out.path = served.request.path;
  out.device = served.request.device;
  out.writable = overlay.stack().writable;
  out.lowers = overlay.stack().layers.size() - (out.writable ? 1 : 0);
  out.age_s = static_cast<double>(::time(nullptr) - served.since);
  out.nodes = overlay.nodes().size();
  out.open = overlay.handles().size() + overlay.unannounced();
  out.fds = overlay.stack().layers.size() + overlay.dirfds() + overlay.handles().descriptors() +
            overlay.unannounced() + 1 + (out.writable ? 1 : 0);
  out.in_flight = session.in_flight();
  out.oldest_s = session.longest_wait();
  out.changes = overlay.counters();
  out.stats = &session.stats();
  return out;
}

Status take_status(Server& server, const Control* control) {
  Status out;
  const Totals& totals = server.totals();
  IdMaps maps = IdMaps::of_this_process();
  out.version = UNI_VERSION;
  out.uptime_s = static_cast<double>(base::monotonic_ns() - totals.started_ns) / 1e9;
  out.uid_map = maps.uids;
  out.gid_map = maps.gids;
  out.requests.merge(totals.requests);
  out.changes = totals.changes;
  for (const auto& served : server.mounts()) {
    out.mounts.push_back(status_of(*served));
    out.requests.merge(*out.mounts.back().stats);
    out.changes.merge(out.mounts.back().changes);
  }
  out.mounts_ever = totals.mounts_ended + out.mounts.size();
  out.restarts = totals.restarts;
  out.mounts_lost = totals.mounts_lost;
  out.requests_lost = totals.requests_lost;
  out.last_takeover_s = totals.last_takeover_seconds;
  out.uid_slots = slot_status(*server.identities().uid_slots);
  out.gid_slots = slot_status(*server.identities().gid_slots);
  if (const Supervision* supervision = server.supervision)
    out.supervision = {.socket = supervision->socket(),
                       .listeners = supervision->listeners(),
                       .containers = supervision->supervisor().containers(),
                       .totals = supervision->totals()};
  if (control) out.control.push_back(control_status(*control));
  out.ring = server.reactor().engine_state();
  out.ring_operations = server.reactor().deferred_operations();
  out.process = process_status();
  return out;
}

}  // namespace serving
