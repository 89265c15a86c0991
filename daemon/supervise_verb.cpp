// The verb `supervise`: a listener by descriptor. It is answered when its calls are.
#include "daemon/server.hpp"
#include "daemon/supervision.hpp"
#include "daemon/verbs.hpp"
#include "seccomp/state_message.hpp"

namespace serving {

Answered verb_supervise(Call& call) {
  if (!call.server.supervision) {
    call.code = "ENOSYS";
    return base::refuse("this process serves mounts of its own only");
  }
  if (call.fds.size() != 1)
    return base::refuse("supervise takes one descriptor, the listener of the filter");
  auto mode = seccomp::mode_named(text_of(call.args, "mode"));
  auto profile = seccomp::profile_named(text_of(call.args, "profile"));
  if (!mode) return base::refuse("\"mode\" must be map, slot or engine");
  if (!profile) return base::refuse("\"profile\" must be basic, full, engine or unpack");
  seccomp::ContainerInfo info{.id = text_of(call.args, "id"), .mode = *mode, .profile = *profile};
  constexpr std::size_t kMostId = 256;
  if (info.id.empty() || info.id.size() > kMostId)
    return base::refuse("\"id\" must be a name of at most 256 bytes");
  info.killable = flag_of(call.args, "killable");
  std::uint64_t pid = number_of(call.args, "pid").value_or(0);
  info.pid = pid <= INT32_MAX ? static_cast<pid_t>(pid) : 0;
  // Of the engine it is who asks; else whoever makes the first call will tell.
  if (info.pid == 0 && info.mode == seccomp::Mode::engine) info.pid = call.peer;
  TRY_VOID(call.server.supervision->add(std::move(call.fds.front()), std::move(info), call.peer));
  return Json{{"supervised", true}};
}

}  // namespace serving
