#include "cli/run_verb.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/io.hpp"
#include "cli/config_verb.hpp"
#include "cli/engine.hpp"
#include "cli/planning.hpp"
#include "cli/supervised.hpp"
#include "daemon/nested_namespace.hpp"
#include "identity/id_list.hpp"
#include "seccomp/container.hpp"

namespace cli {
namespace {

using identity::Id;

struct Wanted {
  std::shared_ptr<config::Sources> sources;
  std::string mode = "map", user = "0", groups, profile;
  std::vector<std::string> ids;
  bool keep_groups = false, no_new_privileges = false, verbose = false;
  CLI::App* options = nullptr;
};

base::Checked<Id> one_id(const std::string& text, const std::string& option) {
  Id id = 0;
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, id);
  bool digits = !text.empty() && stop == end && text.find_first_not_of("0123456789") == text.npos;
  if (digits && error == std::errc() && id != identity::kNoId) return id;
  if (!text.empty() && text.find_first_not_of("0123456789") == text.npos)
    return base::refuse(option + ": " + text + " is not an id: the highest is 4294967294");
  return base::refuse(option + ": \"" + text +
                      "\" is not a number; names are the container's, not this machine's: give "
                      "the id");
}

base::Checked<serving::Person> person(const Wanted& wanted) {
  serving::Person who;
  std::size_t colon = wanted.user.find(':');
  TRY(uid, one_id(wanted.user.substr(0, colon), "--user"));
  who.uid = who.gid = uid;
  if (colon != wanted.user.npos) {
    TRY(gid, one_id(wanted.user.substr(colon + 1), "--user"));
    who.gid = gid;
  }
  if (!wanted.groups.empty()) {
    TRY(groups, identity::parse_id_list(wanted.groups));
    who.groups = std::move(groups);
  }
  who.keep_groups = wanted.keep_groups;
  return who;
}

base::Checked<WantedIds> ids_of(const Wanted& wanted, const serving::Person& who) {
  WantedIds ids{.uids = {who.uid}, .gids = {who.gid}};
  ids.gids.insert(ids.gids.end(), who.groups.begin(), who.groups.end());
  for (const std::string& text : wanted.ids) {
    TRY(more, identity::parse_id_list(text));
    ids.uids.insert(ids.uids.end(), more.begin(), more.end());
    ids.gids.insert(ids.gids.end(), more.begin(), more.end());
  }
  return ids;
}

// Whoever names an id on the command line shall not find out later that it is nobody.
base::Checked<base::Unit> check_mapped(const identity::IdPlan& plan, const std::vector<Id>& asked,
                                       const char* kind) {
  std::string missing;
  std::size_t count = 0;
  for (const auto& left : plan.left_out) {
    if (std::find(asked.begin(), asked.end(), left.true_id) == asked.end()) continue;
    if (++count > 8) continue;
    missing += (missing.empty() ? "" : ", ") + std::to_string(left.true_id) + " (" +
               identity::reason(left.why) + ")";
  }
  if (count == 0) return base::Unit{};
  if (count > 8) missing += " and " + std::to_string(count - 8) + " more";
  return base::refuse(std::string("cannot map ") + kind + " " + missing +
                      "; see: usernetes-identity map");
}

// --- the supervisor -----------------------------------------------------------------------------

struct Guard {
  std::optional<seccomp::Profile> profile;
  std::optional<SupervisorLink> daemon;  // nothing: no filter
};

base::Checked<Guard> find_guard(const Wanted& wanted, seccomp::Mode mode,
                                const serving::Person& who, const config::Config& config) {
  const bool asked = !wanted.profile.empty();
  Guard guard;
  std::string word = asked ? wanted.profile : config.runtime.profile;
  if (mode == seccomp::Mode::slot && !asked && word == "off") word = "auto";
  TRY(profile, read_profile(word, mode, asked ? "--profile" : "the setting runtime.profile"));
  guard.profile = profile;
  if (mode == seccomp::Mode::slot && !profile)
    return base::refuse("--mode slot needs a supervisor: --profile basic or full");
  // Nobody can become anybody then.
  if (!profile || (who.uid != 0 && wanted.no_new_privileges && mode == seccomp::Mode::map))
    return guard;
  auto daemon = SupervisorLink::open(config);
  if (daemon) {
    guard.daemon = std::move(*daemon);
  } else if (mode == seccomp::Mode::slot) {
    return base::refuse("--mode slot: " + daemon.error().message);
  } else if (asked || wanted.verbose) {
    complain("run: only planned ids, without a supervisor: " + daemon.error().message);
  }
  return guard;
}

bool has_aliases(const identity::IdPlan& plan) {
  return !plan.extents.empty() && plan.extents.back().inside >= identity::kAliasBase;
}

base::Checked<base::Unit> load(const Wanted& wanted, seccomp::Mode mode, Guard& guard) {
  if (!guard.daemon) return base::Unit{};
  seccomp::ContainerInfo info;
  info.id = "run-" + std::to_string(::getpid());
  info.mode = mode;
  info.profile = *guard.profile;
  info.pid = ::getpid();
  TRY(loaded, guard.daemon->supervise(info));
  guard.daemon.reset();
  if (loaded) return base::Unit{};
  if (mode == seccomp::Mode::slot)
    return base::refuse(
        "--mode slot: another supervisor has this process already, and the kernel "
        "allows one");
  if (wanted.verbose) complain("run: only planned ids: another supervisor has this process");
  return base::Unit{};
}

// --- the process --------------------------------------------------------------------------------

base::Checked<base::Unit> enter(const Wanted& wanted, seccomp::Mode mode,
                                const config::Config& config) {
  TRY(who, person(wanted));
  TRY(ids, ids_of(wanted, who));
  TRY_VOID(enter_pool(config));
  TRY(guard, find_guard(wanted, mode, who, config));
  if (guard.daemon && mode == seccomp::Mode::map) ids.aliases = identity::Aliases::all;
  TRY(planned, plan_namespace(config, ids));
  if (!planned.doubt.empty()) complain("run: " + planned.doubt);
  TRY_VOID(check_mapped(planned.uids, ids.uids, "uid"));
  TRY_VOID(check_mapped(planned.gids, ids.gids, "gid"));
  if (mode == seccomp::Mode::map) {
    if (!planned.uids.identity || !planned.gids.identity)
      TRY_VOID(serving::enter_nested_namespace(identity::map_text(planned.uids.extents),
                                               identity::map_text(planned.gids.extents)));
    if (!has_aliases(planned.uids) && !has_aliases(planned.gids)) guard.daemon.reset();
  }
  // Before the ids change: who has none left may not load a filter.
  TRY_VOID(load(wanted, mode, guard));
  TRY_VOID(serving::become(who));
  if (wanted.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return base::refuse_errno("no_new_privs");
  return base::Unit{};
}

int execute(std::vector<std::string> command) {
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  int error = errno;
  return complain(command.front() + ": " + std::strerror(error),
                  error == ENOENT ? kNotFound : kNotExecutable);
}

// What follows our own options: the command and its arguments, unread.
base::Checked<std::vector<std::string>> command_of(const CLI::App& options) {
  auto words = options.remaining();
  bool marked = !words.empty() && words.front() == "--";
  if (marked) words.erase(words.begin());
  if (words.empty()) return base::refuse("no command; see: usernetes-identity run --help");
  if (!marked && words.front().starts_with('-'))
    return base::refuse("no option " + words.front() + "; see: usernetes-identity run --help");
  return words;
}

base::Checked<seccomp::Mode> read_mode(const std::string& mode) {
  if (mode == "map") return seccomp::Mode::map;
  if (mode == "slot") return seccomp::Mode::slot;
  if (mode == "engine") return seccomp::Mode::engine;
  if (mode == "virtual")
    return base::refuse(
        "--mode virtual: the supervisor takes it by itself, for processes that "
        "somebody traces; it is map, slot or engine");
  return base::refuse("--mode " + mode + ": no such mode; it is map, slot or engine");
}

int run_command(const Wanted& wanted) {
  auto command = command_of(*wanted.options);
  if (!command) return complain("run: " + command.error().message, kRunFailed);
  auto mode = read_mode(wanted.mode);
  if (!mode) return complain("run: " + mode.error().message, kRunFailed);
  auto config = config::load_config(*wanted.sources);
  if (!config) return complain(config.error().message, kRunFailed);
  const bool named = wanted.options->count("--mode") > 0;
  if (!named && is_engine(command->front())) mode = seccomp::Mode::engine;
  auto done = *mode == seccomp::Mode::engine ? enter_engine(*config, *command)
                                             : enter(wanted, *mode, *config);
  if (!done) return complain("run: " + done.error().message, kRunFailed);
  return execute(std::move(*command));
}

}  // namespace

Action prepare_run(CLI::App& options) {
  auto wanted = std::make_shared<Wanted>();
  wanted->options = &options;
  options.prefix_command();
  wanted->sources = add_set_option(options);
  options
      .add_option("--user", wanted->user,
                  "who the command is; the group is the same number unless given; default: 0")
      ->type_name("UID[:GID]");
  options.add_option("--groups", wanted->groups, "supplementary groups; default: none")
      ->type_name("LIST");
  options
      .add_flag("--keep-groups", wanted->keep_groups,
                "keep the caller's supplementary groups, which are seen as 65534")
      ->excludes("--groups");
  options
      .add_option("--id", wanted->ids,
                  "more ids that the command may become or give to files, as 60000,70000-70010")
      ->type_name("LIST")
      ->expected(1)
      ->take_all();
  options
      .add_option(
          "--mode", wanted->mode,
          "how processes get their ids: by a namespace that has those named here (map, the "
          "default), or by a supervisor alone (slot); engine: for podman itself, whose image store "
          "may then hold any owner")
      ->type_name("map|slot|engine");
  options
      .add_option("--profile", wanted->profile,
                  "calls that the supervisor answers; default: the setting runtime.profile")
      ->type_name("auto|basic|full|off");
  options.add_flag("--verbose,-v", wanted->verbose, "say why there is no supervisor, if so");
  options.add_flag("--no-new-privileges", wanted->no_new_privileges,
                   "set-id programs give no other id (prctl PR_SET_NO_NEW_PRIVS)");
  options.footer(
      "usage: usernetes-identity run [OPTION...] [--] COMMAND [ARGUMENT...]\n"
      "The command replaces this process: exit code, signals, terminal, descriptors and directory "
      "are its own. Exit code 125: it was not started; 126: it cannot be executed; 127: it was not "
      "found.");
  return [wanted] { return run_command(*wanted); };
}

}  // namespace cli
