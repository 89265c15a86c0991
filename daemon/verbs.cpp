#include "daemon/verbs.hpp"

#include <unistd.h>

#include "daemon/control.hpp"
#include "daemon/mount_request.hpp"
#include "daemon/runtime_dir.hpp"
#include "daemon/server.hpp"
#include "daemon/supervision.hpp"

namespace serving {
namespace {

// clang-format off
constexpr Verb kVerbs[] = {
    {.name = "hello", .now = verb_hello},
    {.name = "mount", .later = verb_mount, .wants_fds = true},
    {.name = "supervise", .now = verb_supervise, .wants_fds = true},
    {.name = "reload", .now = verb_reload},
    {.name = "refresh", .later = verb_refresh},
    {.name = "status", .now = verb_status},
    {.name = "mounts", .now = verb_mounts},
    {.name = "inflight", .now = verb_inflight},
    {.name = "metrics", .now = verb_metrics},
    {.name = "log-level", .now = verb_log_level},
    {.name = "stop", .now = verb_stop},
    {.name = "drain", .now = verb_drain},
    {.name = "restart", .now = verb_restart, .wants_fds = true},
};
// clang-format on

}  // namespace

const Verb* find_verb(std::string_view name) {
  for (const Verb& verb : kVerbs)
    if (verb.name == name) return &verb;
  return nullptr;
}

Answered verb_hello(Call& call) {
  IdMaps maps = IdMaps::of_this_process();
  Json identity = identity_settings(call.server.config());
  return Json{{"protocol", kProtocol},
              {"version", UNI_VERSION},
              {"pid", ::getpid()},
              {"uid_map", maps.uids},
              {"gid_map", maps.gids},
              {"user_namespace", user_namespace()},
              {"service", call.control.is_service()},
              {"identity", identity},
              {"supervises", find_verb("supervise") != nullptr},
              {"seccomp", call.server.supervision ? call.server.supervision->socket() : ""}};
}

}  // namespace serving
