#include "cli/container_filter.hpp"

#include <cstdlib>

#include "cli/supervised.hpp"
#include "runtime/filter.hpp"
#include "runtime/program.hpp"
#include "seccomp/profile.hpp"
#include "seccomp/state_message.hpp"
#include "seccomp/supervised.hpp"

namespace cli {
namespace {

// Whoever has no privilege and can get none stays who he is.
bool stays_as_it_is(const oci::Spec& spec) {
  return spec.no_new_privileges && !spec.ambient && !spec.uids.empty() && spec.uids.front().id != 0;
}

}  // namespace

base::Checked<ContainerFilter> find_filter(const config::Config& config, seccomp::Mode mode,
                                           const oci::Spec& spec, const oci::Json& bundle,
                                           Need need) {
  ContainerFilter filter{mode, std::nullopt, {}, {}};
  const bool asked = !spec.profile.empty();
  const std::string& word = asked ? spec.profile : config.runtime.profile;
  TRY(profile, read_profile(word, mode,
                            asked ? std::string("the annotation ") + oci::kProfileAnnotation
                                  : "the setting runtime.profile"));
  if (!profile) return filter;
  const bool always = mode == seccomp::Mode::slot || need == Need::always;
  if (!always && stays_as_it_is(spec)) return filter;
  // What its own files are shown as is not an exception any more.
  if (always && word == "auto") profile = seccomp::Profile::full;
  if (oci::has_listener(bundle)) {
    filter.why = "its seccomp profile has a listener of its own";
    return filter;
  }
  if (seccomp::is_supervised()) {
    filter.why = "another supervisor has this process, and the kernel allows one";
    return filter;
  }
  auto daemon = SupervisorLink::open(config);
  if (!daemon) {
    filter.why = daemon.error().message;
  } else if (daemon->socket().empty()) {
    filter.why = "the daemon has no socket for listeners";
  } else {
    filter.profile = profile;
    filter.socket = daemon->socket();
  }
  return filter;
}

std::vector<std::string> put_filter(oci::Json& bundle, const ContainerFilter& filter,
                                    const std::string& id, const std::string& program) {
  seccomp::ContainerInfo info;
  info.id = id;
  info.mode = filter.mode;
  info.profile = *filter.profile;
  info.killable = oci::takes_wait_killable(program) && seccomp::has_wait_killable();
  return oci::watch(bundle, {watched_calls(*filter.profile), filter.socket,
                             seccomp::metadata_text(info), info.killable});
}

base::Checked<base::Unit> wake_supervisor(const config::Config& config) {
  TRY(daemon, SupervisorLink::open(config));
  return base::Unit{};
}

}  // namespace cli
