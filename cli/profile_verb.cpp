#include "cli/profile_verb.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/supervised.hpp"
#include "daemon/runtime_dir.hpp"
#include "runtime/docker_profile.hpp"
#include "runtime/filter.hpp"
#include "seccomp/state_message.hpp"

namespace cli {
namespace {

constexpr const char* kPodmans = "/usr/share/containers/seccomp.json";

struct Wanted {
  std::string profile, merge, listener;
  bool allow = false, deny = false, killable = false, kubelet = false, docker = false;
};

base::Checked<oci::Json> read_base(const Wanted& wanted) {
  if (wanted.allow) return oci::Json{{"defaultAction", "SCMP_ACT_ALLOW"}};
  std::string path = wanted.merge.empty() ? kPodmans : wanted.merge;
  if (wanted.merge.empty() && ::access(kPodmans, R_OK) != 0)
    return base::refuse(std::string(kPodmans) +
                        " is not there to merge into; name a profile that denies by default with "
                        "--merge, or say --allow");
  TRY(file, oci::read_regular(path));
  return oci::parse_object(file.text, path);
}

// Docker's form says in archMap what OCI's says in a list.
void add_architectures(oci::Json& profile, bool docker) {
  oci::Json config = oci::Json::object();
  oci::watch(config, {});
  const oci::Json& all = config["linux"]["seccomp"]["architectures"];
  if (!docker && !profile.contains("architectures")) profile["architectures"] = all;
  if (!docker || profile.contains("archMap") || profile.contains("architectures")) return;
  oci::Json here = {{"architecture", all.front()},
                    {"subArchitectures", oci::Json(all.begin() + 1, all.end())}};
  profile["archMap"] = oci::Json::array({std::move(here)});
}

base::Checked<std::string> make(const Wanted& wanted) {
  using seccomp::Mode;
  TRY(profile, read_profile(wanted.profile, Mode::slot, "profile"));
  if (!profile) return base::refuse("profile off is none");
  TRY(filter, read_base(wanted));
  if (!wanted.docker && oci::is_dockers(filter)) filter = oci::without_terms(filter);
  add_architectures(filter, wanted.docker);
  oci::Watch watch{watched_calls(*profile), wanted.listener, {}, wanted.killable};
  if (watch.listener.empty()) {
    std::string directory = serving::runtime_dir();
    if (directory.empty())
      return base::refuse("XDG_RUNTIME_DIR is not set: name the daemon's socket with --listener");
    watch.listener = directory + "/seccomp.sock";
  }
  seccomp::ContainerInfo info;  // without a name: the runtime says it
  info.profile = *profile;
  info.killable = wanted.killable;
  watch.metadata = seccomp::metadata_text(info);
  for (const std::string& name : oci::watch_profile(filter, watch))
    complain("profile: " + name + " stays as the base has it, which has conditions for it");
  return filter.dump(2, ' ', false, oci::Json::error_handler_t::replace) + "\n";
}

int print(const Wanted& wanted) {
  if (wanted.kubelet && wanted.docker)
    return complain("profile: only one of --kubelet and --docker", kUsage);
  if (wanted.allow && (wanted.deny || !wanted.merge.empty()))
    return complain("profile: --allow has no base", kUsage);
  auto text = make(wanted);
  if (!text) return complain("profile: " + text.error().message);
  bool written = std::fwrite(text->data(), 1, text->size(), stdout) == text->size();
  return written && std::fflush(stdout) == 0 ? kDone : complain("profile: standard output is full");
}

}  // namespace

Action prepare_profile(CLI::App& options) {
  auto wanted = std::make_shared<Wanted>();
  options.footer(
      "For containers whose engine or runtime can not be changed: it loads this file, and brings "
      "the listener to the daemon, which answers as in slot mode. The runtime and run need no "
      "such file. What the base denies stays denied.");
  options.add_option("profile", wanted->profile, "basic: ids; full: also the owners of files")
      ->type_name("basic|full")
      ->required();
  options
      .add_option("--merge", wanted->merge,
                  "the profile to merge into; default: /usr/share/containers/seccomp.json")
      ->type_name("FILE");
  options.add_flag("--deny", wanted->deny, "what the base does not know is denied (the default)");
  options.add_flag("--allow", wanted->allow, "no base: all other calls are allowed");
  options.add_flag("--killable", wanted->killable,
                   "signals do not interrupt a call that waits for its answer (Linux 5.19, crun)");
  options
      .add_option("--listener", wanted->listener,
                  "the daemon's socket; default: the service's, seccomp.sock")
      ->type_name("PATH");
  options.add_flag("--kubelet", wanted->kubelet,
                   "in OCI's form, for a kubelet's Localhost profiles (the default)");
  options.add_flag("--docker", wanted->docker,
                   "in docker's form, for podman --security-opt seccomp=FILE");
  return [wanted] { return print(*wanted); };
}

}  // namespace cli
