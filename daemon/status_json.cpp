// The JSON and the log form of a Status. docs/STATUS.md describes the fields.
#include <cmath>
#include <cstring>

#include "base/log.hpp"
#include "daemon/server.hpp"
#include "daemon/status.hpp"
#include "fusefs/op_table.hpp"

namespace serving {
namespace {

constexpr std::size_t kMostAssignments = 2000;
constexpr std::size_t kMostWaiting = 1000;

double micros(std::uint64_t nanoseconds) {
  return std::round(static_cast<double>(nanoseconds) / 100) / 10;
}
double millis(double seconds) {
  return std::round(seconds * 1000) / 1000;
}

Json changes_json(const fusefs::Counters& changes) {
  return Json{{"copy_ups", changes.copy_ups},
              {"copied_bytes", changes.copied_bytes},
              {"clones", changes.clones},
              {"whiteouts", changes.whiteouts},
              {"corrupt_records", changes.corrupt_records}};
}

Json requests_json(const fusefs::SessionStats& stats) {
  return Json{{"requests", stats.requests()},           {"waited", stats.waited()},
              {"errors", stats.error_replies()},        {"rejected", stats.rejected},
              {"reply_failures", stats.reply_failures}, {"resent", stats.resent}};
}

Json mount_json(const MountStatus& mount, bool detail) {
  Json out = requests_json(*mount.stats);
  out.update(changes_json(mount.changes));
  out["id"] = mount.id;
  out["path"] = mount.path;
  out["device"] = mount.device;
  out["lowers"] = mount.lowers;
  out["writable"] = mount.writable;
  out["age_s"] = millis(mount.age_s);
  out["nodes"] = mount.nodes;
  out["open"] = mount.open;
  out["fds"] = mount.fds;
  out["in_flight"] = mount.in_flight;
  out["oldest_s"] = millis(mount.oldest_s);
  if (!detail) return out;
  out["operations"] = operations_json(*mount.stats);
  out["errors_by"] = errors_json(mount.stats->errors());
  return out;
}

Json slots_json(const SlotStatus& slots) {
  Json moved = Json::array();
  for (const auto& assignment : slots.second_choice)
    if (moved.size() < kMostAssignments)
      moved.push_back({{"id", assignment.true_id}, {"slot", assignment.slot}});
  return Json{{"full_map", slots.full_map},
              {"used", slots.used},
              {"window", slots.window},
              {"nobody", slots.nobody},
              {"second_choices", slots.second_choice.size()},
              {"second_choice", std::move(moved)},
              {"strangers", slots.strangers},
              {"some_strangers", slots.some_strangers}};
}

Json control_json(const Status& status) {
  if (status.control.empty()) return nullptr;
  const ControlStatus& control = status.control.front();
  return Json{{"socket", control.socket},
              {"service", control.service},
              {"connections", control.connections},
              {"accepted", control.accepted},
              {"refused_mounts", control.refused_mounts},
              {"rejected", control.rejected}};
}

Json caches_json(const Status& status) {
  std::size_t nodes = 0, open = 0, fds = 0, waiting = 0;
  for (const MountStatus& mount : status.mounts) {
    nodes += mount.nodes;
    open += mount.open;
    fds += mount.fds;
    waiting += mount.in_flight;
  }
  return Json{{"nodes", nodes}, {"open", open}, {"fds", fds}, {"in_flight", waiting}};
}

}  // namespace

std::string errno_name(int error) {
  const char* name = ::strerrorname_np(error);
  return name ? name : std::to_string(error);
}

Json errors_json(const std::map<int, std::uint64_t>& errors) {
  Json out = Json::object();
  for (auto [error, count] : errors) out[errno_name(error)] = count;
  return out;
}

Json operations_json(const fusefs::SessionStats& stats) {
  Json out = Json::object();
  for (std::size_t op = 0; op < stats.ops.size(); ++op) {
    const fusefs::OpStats& one = stats.ops[op];
    if (one.requests == 0) continue;
    Json row{{"requests", one.requests}, {"waited", one.waited}};
    if (!one.errors.empty()) row["errors"] = errors_json(one.errors);
    if (one.latency) {
      row["p50_us"] = micros(one.latency->quantile_ns(0.5));
      row["p99_us"] = micros(one.latency->quantile_ns(0.99));
      row["max_us"] = micros(one.latency->max_ns());
    }
    out[std::string(fusefs::kOps[op].name)] = std::move(row);
  }
  return out;
}

Json mounts_json(const Status& status, bool detail) {
  Json out = Json::array();
  for (const MountStatus& mount : status.mounts) out.push_back(mount_json(mount, detail));
  return out;
}

Json status_json(const Status& status) {
  Json totals = requests_json(status.requests);
  totals.update(changes_json(status.changes));
  totals["mounts"] = status.mounts_ever;
  totals["operations"] = operations_json(status.requests);
  totals["errors_by"] = errors_json(status.requests.errors());
  return Json{
      {"schema", kStatusSchema},
      {"version", status.version},
      {"pid", status.process.pid},
      {"uptime_s", millis(status.uptime_s)},
      {"namespace", {{"uid_map", status.uid_map}, {"gid_map", status.gid_map}}},
      {"mounts", mounts_json(status, false)},
      {"containers", containers_json(status)},
      {"listeners", Json::array()},
      {"supervision", supervision_json(status)},
      {"totals", std::move(totals)},
      {"caches", caches_json(status)},
      {"slots", {{"uid", slots_json(status.uid_slots)}, {"gid", slots_json(status.gid_slots)}}},
      {"control", control_json(status)},
      {"recovery",
       {{"restarts", status.restarts},
        {"mounts_lost", status.mounts_lost},
        {"requests_lost", status.requests_lost},
        {"last_takeover_s", millis(status.last_takeover_s)}}},
      {"ring",
       {{"entries", status.ring.entries},
        {"operations", status.ring_operations},
        {"unsubmitted", status.ring.unsubmitted},
        {"unreaped", status.ring.unreaped},
        {"overflows", status.ring.overflows},
        {"sleeps", status.ring.sleeps},
        {"spin_credit", status.ring.spin_credit}}},
      {"process",
       {{"rss_bytes", status.process.rss_bytes},
        {"fds", status.process.fds},
        {"fd_limit", status.process.fd_limit},
        {"cpu_s", millis(status.process.cpu_s)}}},
      {"log",
       {{"level", status.process.log_level}, {"suppressed", status.process.log_lines_suppressed}}}};
}

Json inflight_json(const Server& server) {
  Json requests = Json::array();
  std::size_t all = 0;
  for (const auto& served : server.mounts()) {
    all += served->session->in_flight();
    std::size_t room = kMostWaiting - requests.size();
    for (const fusefs::WaitingRequest& one : served->session->waiting(room))
      requests.push_back({{"mount", served->id},
                          {"mount_path", served->request.path},
                          {"unique", one.unique},
                          {"op", one.op},
                          {"node", one.node},
                          {"path", one.path},
                          {"seconds", millis(one.seconds)},
                          {"pid", one.pid},
                          {"where", one.waits},
                          {"interrupted", one.interrupted}});
  }
  return Json{{"schema", kStatusSchema}, {"in_flight", all}, {"requests", std::move(requests)}};
}

void report_status(Server& server, const Control* control) {
  Status status = take_status(server, control);
  auto tell = [](std::string_view event, const Json& fields) {
    std::string text;
    for (const auto& [key, value] : fields.items()) {
      if (value.is_structured() || value.is_null()) continue;
      if (!text.empty()) text += " ";
      text += key + "=";
      text += value.is_string() ? base::log::quoted(value.get<std::string>())
                                : value.dump(-1, ' ', false, Json::error_handler_t::replace);
    }
    base::log::report(base::log::Level::info, event, text);
  };
  Json whole = status_json(status);
  tell("daemon.status", whole);
  for (const char* part : {"totals", "caches", "recovery", "ring", "process"})
    tell(std::string("daemon.") + part, whole[part]);
  for (const Json& container : whole["containers"]) tell("container.status", container);
  for (const Json& mount : mounts_json(status, true)) {
    tell("mount.status", mount);
    for (const auto& [op, row] : mount["operations"].items()) {
      Json named = row;
      named["mount"] = mount["id"];
      named["op"] = op;
      tell("mount.requests", named);
    }
  }
  Json waiting = inflight_json(server);
  for (const Json& request : waiting["requests"]) tell("mount.in_flight", request);
}

}  // namespace serving
