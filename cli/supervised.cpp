#include "cli/supervised.hpp"

#include <cstring>
#include <map>

#include "daemon/client.hpp"
#include "daemon/start.hpp"
#include "seccomp/profile.hpp"
#include "seccomp/state_message.hpp"

namespace cli {

base::Checked<std::optional<seccomp::Profile>> read_profile(const std::string& word,
                                                            seccomp::Mode mode,
                                                            const std::string& origin) {
  using seccomp::Profile;
  if (word == "off") return std::nullopt;
  if (word == "basic") return Profile::basic;
  if (word == "full") return Profile::full;
  if (word == "auto") return mode == seccomp::Mode::slot ? Profile::full : Profile::basic;
  return base::refuse(origin + ": no profile \"" + word.substr(0, 40) +
                      "\"; it is auto, basic, full or off");
}

SupervisorLink::SupervisorLink(std::unique_ptr<serving::Client> daemon)
    : daemon_(std::move(daemon)) {}
SupervisorLink::SupervisorLink(SupervisorLink&&) noexcept = default;
SupervisorLink& SupervisorLink::operator=(SupervisorLink&&) noexcept = default;
SupervisorLink::~SupervisorLink() = default;

base::Checked<SupervisorLink> SupervisorLink::open(const config::Config& config) {
  TRY(daemon, serving::find_daemon(config, serving::Purpose::processes));
  if (!daemon)
    return base::refuse(
        "no daemon runs in this user namespace, and none may be started (daemon.autostart, "
        "XDG_RUNTIME_DIR)");
  if (!daemon->hello().supervises)
    return base::refuse(daemon->path() + ": its daemon is of version " + daemon->hello().version +
                        ", which supervises nobody; see: usernetes-identity restart");
  if (daemon->hello().user_namespace != serving::user_namespace())
    return base::refuse(daemon->path() + ": its daemon (pid " +
                        std::to_string(daemon->hello().pid) +
                        ") is in another user namespace, and can not supervise here; see: "
                        "usernetes-identity restart");
  return SupervisorLink(std::make_unique<serving::Client>(std::move(*daemon)));
}

const std::string& SupervisorLink::socket() const {
  return daemon_->hello().seccomp;
}

base::Checked<bool> SupervisorLink::supervise(seccomp::ContainerInfo info) {
  info.killable = true;
  auto listener = seccomp::load_filter(info.profile, info.killable);
  if (!listener && listener.error().value == EINVAL) {  // before Linux 5.19
    info.killable = false;
    listener = seccomp::load_filter(info.profile, info.killable);
  }
  if (!listener && listener.error().value == EBUSY) return false;
  if (!listener)
    return base::refuse(std::string("cannot load the filter: ") +
                        std::strerror(listener.error().value));
  serving::Json request = {{"verb", "supervise"},
                           {"id", info.id},
                           {"mode", seccomp::mode_name(info.mode)},
                           {"profile", seccomp::profile_name(info.profile)},
                           {"killable", info.killable},
                           {"pid", info.pid}};
  const int fds[] = {listener->get()};
  TRY(answer, daemon_->call(std::move(request), fds));
  return true;
}

std::vector<oci::Watched> watched_calls(seccomp::Profile profile) {
  std::map<std::string, oci::Watched> by_name;
  for (const seccomp::Rule& rule : seccomp::rules_of(profile))
    for (const std::string& name : rule.names) {
      oci::Watched& call = by_name[name];
      call.name = name;
      call.absent = !rule.notify;
      if (rule.all.empty()) continue;
      oci::Group& group = call.when.emplace_back();
      for (const seccomp::Condition& one : rule.all)
        group.push_back({one.argument, one.mask == 0 ? ~std::uint64_t{0} : one.mask, one.value});
    }
  std::vector<oci::Watched> calls;
  for (auto& [name, call] : by_name) calls.push_back(std::move(call));
  return calls;
}

}  // namespace cli
