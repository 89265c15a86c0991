// What the verbs that only look answer, and log-level, which changes how much is said.
#include "base/log.hpp"
#include "daemon/control.hpp"
#include "daemon/metrics_text.hpp"
#include "daemon/status.hpp"
#include "daemon/verbs.hpp"

namespace serving {

Answered verb_status(Call& call) {
  return status_json(take_status(call.server, &call.control));
}

Answered verb_mounts(Call& call) {
  Status status = take_status(call.server, &call.control);
  return Json{{"schema", kStatusSchema},
              {"mounts", mounts_json(status, flag_of(call.args, "detail"))}};
}

Answered verb_inflight(Call& call) {
  return inflight_json(call.server);
}

Answered verb_metrics(Call& call) {
  return Json{{"text", metrics_text(take_status(call.server, &call.control))}};
}

Answered verb_log_level(Call& call) {
  std::string was(base::log::level_name(base::log::level()));
  std::string wanted = text_of(call.args, "level");
  if (!wanted.empty()) {
    TRY(level, base::log::parse_level(wanted));
    base::log::set_level(level);
    base::log::line(base::log::Level::info, "log.level", "level=" + wanted + " was=" + was);
  }
  return Json{{"level", wanted.empty() ? was : wanted}, {"was", was}};
}

}  // namespace serving
