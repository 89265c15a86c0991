#include "cli/hook_verb.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/planning.hpp"
#include "config/toml.hpp"
#include "runtime/nest.hpp"
#include "runtime/spec.hpp"

extern char** environ;

namespace cli {
namespace {

using Slots = std::vector<std::pair<identity::Id, identity::Id>>;

base::Checked<Slots> slots_of(const std::vector<oci::Must>& musts, const char* kind,
                              const identity::IdPlan& plan) {
  Slots slots;
  for (const oci::Must& must : musts) {
    if (plan.identity) break;
    auto slot = plan.slot_of(must.id);
    if (!slot)
      return base::refuse(must.key + ": " + kind + " " + std::to_string(must.id) +
                          " has no slot in the pool; usernetes-identity map shows who has them");
    slots.emplace_back(must.id, *slot);
  }
  return slots;
}

base::Checked<std::string> edited(const std::string& text) {
  TRY(settings, config::load_config(config::default_sources(environ)));
  TRY(config, oci::parse_object(text, "standard input"));
  TRY(spec, oci::read_spec(config, "standard input"));
  // In a namespace of its own the ids are that namespace's.
  if (spec.users != oci::Spec::Users::none) return text;
  TRY(process, oci::read_process(config.value("process", oci::Json::object()), "process"));
  WantedIds wanted;
  for (const oci::Must& must : process.uids) wanted.uids.push_back(must.id);
  for (const oci::Must& must : process.gids) wanted.gids.push_back(must.id);
  TRY(planned, plan_namespace(settings, wanted));
  TRY(uids, slots_of(process.uids, "uid", planned.uids));
  TRY(gids, slots_of(process.gids, "gid", planned.gids));
  oci::put_slots(config, uids, gids);
  return oci::json_text(config) + "\n";
}

int precreate() {
  auto text = oci::read_all(STDIN_FILENO);
  if (!text) return complain("hook precreate: standard input: " + text.error().message);
  auto result = edited(*text);
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
  nlohmann::ordered_json file = {
      {"version", "1.0.0"},
      {"hook", {{"path", program}, {"args", {"usernetes-identity", "hook", "precreate"}}}},
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
  return [called, printed] {
    if (called->parsed()) return precreate();
    return printed->parsed() ? print_file() : int{kUsage};
  };
}

}  // namespace cli
