#include "cli/hook_verb.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cli/container_filter.hpp"
#include "cli/slot_bundle.hpp"
#include "config/toml.hpp"
#include "runtime/spec.hpp"

extern char** environ;

namespace cli {
namespace {

// podman has it in no other place that a hook sees.
std::string container_id(const oci::Json& config) {
  std::string id;
  if (config.contains("hostname") && config["hostname"].is_string()) id = config["hostname"];
  return id.empty() ? "hook-" + std::to_string(::getppid()) : id;
}

struct Wanted {
  std::string mode = "off", profile;
};

base::Checked<std::string> edited(const std::string& text, const Wanted& wanted) {
  TRY(settings, config::load_config(config::default_sources(environ)));
  TRY(config, oci::parse_object(text, "standard input"));
  TRY(spec, oci::read_spec(config, "standard input"));
  // In a namespace of its own the ids are that namespace's.
  if (spec.users != oci::Spec::Users::none) return text;
  if (wanted.mode != "off" && wanted.mode != "slot")
    return base::refuse("--mode " + wanted.mode + ": a hook can make it slot, or off");
  ContainerFilter filter;
  if (wanted.mode == "slot") {
    if (!wanted.profile.empty()) spec.profile = wanted.profile;
    if (spec.profile.empty() && settings.runtime.profile == "off") spec.profile = "auto";
    TRY(found, find_filter(settings, seccomp::Mode::slot, spec, config));
    filter = std::move(found);
    if (!filter.profile) return base::refuse("--mode slot: " + filter.why);
  }
  // As crun does it, podman's own: groups, filter, user.
  const bool asks = filter.profile && !spec.no_new_privileges;
  TRY_VOID(put_in_slots(config, spec, settings, asks ? oci::Sets::groups : oci::Sets::all));
  if (filter.profile) put_filter(config, filter, container_id(config), "");
  return oci::json_text(config) + "\n";
}

int precreate(const Wanted& wanted) {
  auto text = oci::read_all(STDIN_FILENO);
  if (!text) return complain("hook precreate: standard input: " + text.error().message);
  auto result = edited(*text, wanted);
  if (!result) return complain("hook precreate: " + result.error().message);
  bool written = std::fwrite(result->data(), 1, result->size(), stdout) == result->size();
  return written && std::fflush(stdout) == 0 ? kDone
                                             : complain("hook precreate: standard output is full");
}

// For podman's --hooks-dir, see oci-hooks(5).
int print_file() {
  std::string program(4096, '\0');
  ssize_t length = ::readlink("/proc/self/exe", program.data(), program.size());
  if (length <= 0) return complain("hook: /proc/self/exe cannot be read");
  program.resize(static_cast<std::size_t>(length));
  // A hook has the environment that its file gives it, and no other: where the daemon and the
  // settings are stands in ours.
  nlohmann::ordered_json environment = nlohmann::ordered_json::array();
  for (const char* name : {"HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"})
    if (const char* value = std::getenv(name))
      environment.push_back(std::string(name) + "=" + value);
  nlohmann::ordered_json file = {{"version", "1.0.0"},
                                 {"hook",
                                  {{"path", program},
                                   {"args", {"usernetes-identity", "hook", "precreate"}},
                                   {"env", environment}}},
                                 {"when", {{"always", true}}},
                                 {"stages", {"precreate"}}};
  std::puts(file.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  return kDone;
}

}  // namespace

Action prepare_hook(CLI::App& options) {
  options.footer(
      "For podman where the runtime cannot be ours: --user 60000 then runs as the slot of 60000, "
      "and sees itself as that. Not to be used together with the runtime. exec is not covered: "
      "podman calls no hook for it.");
  options.require_subcommand(1);
  CLI::App* called = options.add_subcommand(
      "precreate", "read config.json, write it with user and groups as slots");
  CLI::App* printed =
      options.add_subcommand("print", "print the file that podman's --hooks-dir wants");
  auto wanted = std::make_shared<Wanted>();
  called
      ->add_option("--mode", wanted->mode,
                   "slot: a supervisor lets the process see itself as 60000, and become others; "
                   "default: off")
      ->type_name("slot|off");
  called->add_option("--profile", wanted->profile, "calls that the supervisor answers")
      ->type_name("basic|full");
  return [called, printed, wanted] {
    if (called->parsed()) return precreate(*wanted);
    return printed->parsed() ? print_file() : int{kUsage};
  };
}

}  // namespace cli
