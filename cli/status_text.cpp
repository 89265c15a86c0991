#include "cli/status_text.hpp"

#include "cli/table.hpp"

namespace cli {
namespace {

using Json = nlohmann::json;

// at(json, "/slots/uid"): null where there is nothing.
const Json& at(const Json& json, const char* pointer) {
  static const Json nothing;
  Json::json_pointer where(pointer);
  return json.contains(where) ? json.at(where) : nothing;
}

double number(const Json& json, const char* pointer) {
  const Json& value = at(json, pointer);
  return value.is_number() ? value.get<double>() : 0;
}

std::string count(const Json& json, const char* pointer) {
  const Json& value = at(json, pointer);
  return value.is_number() ? value.dump() : "?";
}

std::string word(const Json& json, const char* pointer) {
  const Json& value = at(json, pointer);
  return value.is_string() ? printable(value.get_ref<const std::string&>()) : "?";
}

bool flag(const Json& json, const char* pointer) {
  const Json& value = at(json, pointer);
  return value.is_boolean() && value.get<bool>();
}

std::string plural(const std::string& number, const char* what) {
  return number + " " + what + (number == "1" ? "" : "s");
}

std::string head(const Json& status) {
  std::string text = "usernetes-identity " + word(status, "/version") + ", pid " +
                     count(status, "/pid") + ", up " + duration(number(status, "/uptime_s")) + "\n";
  if (at(status, "/control").is_object())
    text += std::string(flag(status, "/control/service") ? "service" : "daemon of this namespace") +
            " on " + word(status, "/control/socket") + "\n";
  return text;
}

std::string figures(const Json& status) {
  std::string text = plural(count(status, "/totals/requests"), "request") + " (" +
                     count(status, "/totals/errors") + " answered with an error, " +
                     count(status, "/totals/rejected") + " rejected), " +
                     plural(count(status, "/totals/copy_ups"), "copy-up") + "\n";
  text += plural(count(status, "/caches/nodes"), "node") + ", " + count(status, "/caches/open") +
          " open, " + count(status, "/caches/in_flight") + " waiting; " +
          bytes(number(status, "/process/rss_bytes")) + " of memory, " +
          count(status, "/process/fds") + " of " + count(status, "/process/fd_limit") +
          " descriptors, " + duration(number(status, "/process/cpu_s")) + " of processor\n";
  if (number(status, "/recovery/restarts") > 0)
    text += plural(count(status, "/recovery/restarts"), "restart") + ", the last took over in " +
            duration(number(status, "/recovery/last_takeover_s")) +
            "; lost: " + plural(count(status, "/recovery/requests_lost"), "request") + ", " +
            plural(count(status, "/recovery/mounts_lost"), "mount") + "\n";
  if (number(status, "/log/suppressed") > 0)
    text += count(status, "/log/suppressed") + " log lines held back by a limit\n";
  return text;
}

// A few of the ids; --json has the others.
std::string some_ids(const Json& list) {
  constexpr std::size_t kMost = 4;
  std::string text;
  if (!list.is_array()) return text;
  for (std::size_t i = 0; i < list.size() && i < kMost; ++i) {
    text += text.empty() ? "" : ", ";
    text += list[i].is_object() ? count(list[i], "/id") + " as " + count(list[i], "/slot")
                                : count(list[i], "");
  }
  if (list.size() > kMost) text += ", ...";
  return text.empty() ? text : " (" + text + ")";
}

std::string slots(const Json& status, const std::string& kind) {
  const Json& all = at(status, ("/slots/" + kind).c_str());
  if (!all.is_object()) return {};
  if (flag(all, "/full_map")) return kind + "s: the namespace maps all of them\n";
  std::string text = kind + "s: " + count(all, "/used") + " of " + count(all, "/window") +
                     " live slots given, " + count(all, "/second_choices") +
                     " not the first choice" + some_ids(at(all, "/second_choice"));
  if (number(all, "/strangers") > 0)
    text += "; " + plural(count(all, "/strangers"), "stranger") + " shown as " +
            count(all, "/nobody") + some_ids(at(all, "/some_strangers"));
  return text + "\n";
}

}  // namespace

std::string mounts_text(const Json& mounts) {
  Table table({"ID", "<MODE", "LOWERS", "AGE", "NODES", "OPEN", "FDS", "REQUESTS", "ERRORS",
               "COPY-UPS", "WAITING", "<PATH"});
  const Json& list = at(mounts, "/mounts");
  for (const Json& mount : list.is_array() ? list : Json::array())
    table.add({count(mount, "/id"), flag(mount, "/writable") ? "rw" : "ro", count(mount, "/lowers"),
               duration(number(mount, "/age_s")), count(mount, "/nodes"), count(mount, "/open"),
               count(mount, "/fds"), count(mount, "/requests"), count(mount, "/errors"),
               count(mount, "/copy_ups"), count(mount, "/in_flight"), word(mount, "/path")});
  return table.empty() ? "no mounts\n" : table.text();
}

std::string containers_text(const Json& status) {
  Table table({"<CONTAINER", "<MODE", "<PROFILE", "FILTERS", "UIDS", "GIDS", "CALLS", "P50 us",
               "P99 us", "WAITING", "VIRTUAL"});
  const Json& list = at(status, "/containers");
  for (const Json& one : list.is_array() ? list : Json::array())
    table.add({word(one, "/id"), word(one, "/mode"), word(one, "/profile"),
               count(one, "/listeners"), count(one, "/uid_count"), count(one, "/gid_count"),
               count(one, "/all_calls/count"), count(one, "/all_calls/p50_us"),
               count(one, "/all_calls/p99_us"), count(one, "/waiting"),
               count(one, "/virtual_answers")});
  return table.empty() ? "" : "\n" + table.text();
}

std::string status_text(const Json& status) {
  return head(status) + figures(status) + slots(status, "uid") + slots(status, "gid") + "\n" +
         mounts_text(status) + containers_text(status);
}

std::string inflight_text(const Json& inflight) {
  Table table({"MOUNT", "REQUEST", "<OP", "SINCE", "PID", "<WAITS FOR", "<PATH"});
  const Json& list = at(inflight, "/requests");
  for (const Json& request : list.is_array() ? list : Json::array())
    table.add({count(request, "/mount"), count(request, "/unique"), word(request, "/op"),
               duration(number(request, "/seconds")), count(request, "/pid"),
               word(request, "/where"), word(request, "/path")});
  return table.empty() ? "no request waits\n" : table.text();
}

std::string reload_text(const Json& reloaded) {
  std::string text;
  for (const char* what : {"applied", "kept"}) {
    const Json& list = at(reloaded, (std::string("/") + what).c_str());
    for (const Json& change : list.is_array() ? list : Json::array())
      text += std::string(what) + "  " + word(change, "/key") + " = " + word(change, "/to") +
              " (was " + word(change, "/from") + "): takes effect " +
              word(change, "/takes_effect") + "\n";
  }
  return text.empty() ? "nothing has changed\n" : text;
}

}  // namespace cli
