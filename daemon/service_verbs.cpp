// The verbs that end a daemon. They answer first: who asked knows that it is over when the
// connection closes.
#include "daemon/control.hpp"
#include "daemon/service.hpp"
#include "daemon/supervision.hpp"
#include "daemon/verbs.hpp"

namespace serving {
namespace {

Answered mounts_left(Call& call) {
  return Json{{"mounts", call.server.mounts().size()}};
}

Answered no_service(Call& call) {
  call.code = "ENOSYS";
  return base::refuse("this process serves mounts of its own only");
}

}  // namespace

Answered verb_stop(Call& call) {
  Service* service = call.control.life;
  if (!service) return no_service(call);
  bool now = flag_of(call.args, "now"), of_manager = flag_of(call.args, "from_unit");
  const Supervision* supervision = call.server.supervision;
  if (supervision && supervision->listeners() > 0 && !now && !of_manager) {
    call.code = "EBUSY";
    return base::refuse(
        std::to_string(supervision->listeners()) +
        " filters of containers are supervised (see status): without this daemon their calls "
        "that change or show ids fail with ENOSYS. Stop them first, or use "
        "`restart` (they do not notice), `drain` (ends after the last one) or "
        "`stop --now`");
  }
  call.server.reactor().defer([service, now] { service->stop(now); });
  return mounts_left(call);
}

Answered verb_drain(Call& call) {
  Service* service = call.control.life;
  if (!service) return no_service(call);
  service->drain();
  return mounts_left(call);
}

Answered verb_restart(Call& call) {
  Service* service = call.control.life;
  if (!service) return no_service(call);
  if (call.fds.size() > 1) return base::refuse("restart takes one descriptor at most");
  // Under a service manager there is no holder to hand over: it starts what its unit names.
  bool hand_over = !call.fds.empty() && service->held();
  TRY_VOID(service->restart(hand_over ? std::move(call.fds.front()) : base::Fd()));
  return Json{{"mounts", call.server.mounts().size()}, {"hand_over", hand_over}};
}

}  // namespace serving
