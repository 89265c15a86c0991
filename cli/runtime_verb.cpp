#include "cli/runtime_verb.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/log.hpp"
#include "cli/container_filter.hpp"
#include "cli/planning.hpp"
#include "cli/runtime_exec.hpp"
#include "cli/slot_bundle.hpp"
#include "config/toml.hpp"
#include "daemon/runtime_dir.hpp"
#include "identity/id_list.hpp"
#include "images/bundle.hpp"
#include "images/rootfs.hpp"
#include "runtime/entered.hpp"
#include "runtime/invocation.hpp"
#include "runtime/kinship.hpp"
#include "runtime/nest.hpp"
#include "runtime/program.hpp"
#include "runtime/record.hpp"
#include "runtime/settings.hpp"
#include "runtime/spec.hpp"
#include "seccomp/state_message.hpp"

extern char** environ;

namespace cli {
namespace {

namespace log = base::log;
using identity::Id;

// --- telling ------------------------------------------------------------------------------------

// An engine reads stderr, or the last line of the file that it has named.
int fail(const oci::Invocation& call, const std::string& message) {
  std::fprintf(stderr, "%s: %s\n", kRuntimeProgram, message.c_str());
  std::string path = call.log.starts_with("file:") ? call.log.substr(5) : call.log;
  if (path.find('/') == path.npos) return kFailed;
  std::string line = message;
  if (call.log_format == "json") {
    char time[32];
    std::time_t now = std::time(nullptr);
    tm utc{};
    std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", ::gmtime_r(&now, &utc));
    line = oci::json_text({{"level", "error"}, {"msg", message}, {"time", time}});
  }
  base::Fd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644));
  line += "\n";
  if (file.valid()) (void)!::write(file.get(), line.data(), line.size());
  return kFailed;
}

// Nothing is written on stderr unless asked for: engines take it for an error.
class Events {
 public:
  Events(const config::Config& config, bool debug) {
    auto level = log::parse_level(debug ? "debug" : config.log.level);
    if (!level || (config.log.file.empty() && !debug)) return;
    if (!config.log.file.empty() && !log::set_file(config.log.file)) return;
    log::set_level(*level);
    on_ = true;
  }
  void line(std::string_view event, const std::string& details) const {
    if (on_) log::line(log::Level::info, event, details);
  }

 private:
  bool on_ = false;
};

// --- what a container needs ---------------------------------------------------------------------

struct Start {
  const oci::Invocation& call;
  const config::Config& config;
  const std::string& program;
  const Events& events;
};

base::Checked<std::vector<Id>> asked_ids(const std::string& text, const std::string& where) {
  auto ids = identity::parse_id_list(text);
  if (!ids) return base::refuse(where + ": " + ids.error().message);
  return ids;
}

void add(images::Found& found, const std::vector<oci::Must>& musts) {
  for (const oci::Must& must : musts) found.add(must.id, images::Weight::process, must.key);
}

base::Checked<images::FoundIds> find_ids(const Start& start, const oci::Spec& spec) {
  std::string root = spec.root.starts_with('/') ? spec.root : start.call.bundle + "/" + spec.root;
  images::FoundIds found;
  if (!spec.root.empty())
    // If there is no such directory, the runtime will say so.
    if (auto read = images::read_bundle_root(root, images::default_cache_dir()))
      found = std::move(*read);
  for (const std::string& note : found.notes)
    start.events.line("runtime.image",
                      "id=" + log::quoted(start.call.id) + " note=" + log::quoted(note));
  add(found.uids, spec.uids);
  add(found.gids, spec.gids);
  for (auto [text, where] : {std::pair{&start.config.runtime.ids, "the setting runtime.ids"},
                             std::pair{&spec.ids, "the annotation org.usernetes.identity.ids"}}) {
    TRY(ids, asked_ids(*text, where));
    for (Id id : ids) {
      found.uids.add(id, images::Weight::asked, where);
      found.gids.add(id, images::Weight::asked, where);
    }
  }
  for (Id gid : spec.terminal_gids) found.gids.add(gid, images::Weight::devpts, "devpts");
  images::add_ordinary(found);
  return found;
}

// --- the map ------------------------------------------------------------------------------------

/// What a container has got.
struct Given {
  oci::Nesting nesting;  // in slot mode empty
  std::vector<oci::Entered> entered;
  bool slots = false, supervised = false;
};

/// A sandbox that the container can live in, and what its map names otherwise.
struct Sandbox {
  oci::Nested users;
  Slots uids, gids;
  bool aliases() const { return !uids.empty() || !gids.empty(); }
};

std::optional<Sandbox> fitting(const oci::Nested& users, const oci::Spec& spec,
                               const Planned& planned, bool aliases) {
  auto uids = names_in(users.uids, spec.uids, planned.uids, aliases);
  auto gids = names_in(users.gids, spec.gids, planned.gids, aliases);
  if (!uids || !gids) return std::nullopt;
  return Sandbox{users, std::move(*uids), std::move(*gids)};
}

// As it is, else with a supervisor who is needed then, whatever the process can do.
base::Checked<std::optional<Sandbox>> find_sandbox(const Start& start, const oci::Spec& spec,
                                                   const Planned& planned,
                                                   const std::optional<oci::Nested>& users,
                                                   const oci::Json& config,
                                                   ContainerFilter& filter) {
  if (!users) return std::optional<Sandbox>();
  if (auto found = fitting(*users, spec, planned, false)) return found;
  auto found = fitting(*users, spec, planned, true);
  if (found) {
    TRY(needed, find_filter(start.config, seccomp::Mode::map, spec, config, Need::always));
    if (needed.profile) {
      filter = std::move(needed);
      return found;
    }
  }
  start.events.line(
      "runtime.own_namespace",
      "id=" + log::quoted(start.call.id) + " why=\"the sandbox's lacks an id of the process\"");
  return std::optional<Sandbox>();
}

base::Checked<base::Unit> check_musts(const std::vector<oci::Must>& musts, const char* kind,
                                      const identity::IdPlan& plan) {
  for (const oci::Must& must : musts) {
    if (plan.maps(must.id)) continue;
    std::string why = "it has no place in the map";
    for (const auto& missing : plan.left_out)
      if (missing.true_id == must.id) why = identity::reason(missing.why);
    return base::refuse(must.key + ": " + kind + " " + std::to_string(must.id) +
                        " can not be given to the container: " + why);
  }
  return base::Unit{};
}

// The sandbox's user namespace if the container can live in it, else one of its own.
oci::Nesting choose(const Start& start, const Planned& planned,
                    const std::optional<Sandbox>& sandbox, const std::vector<oci::Joined>& joined) {
  oci::Nesting nesting{planned.uids.extents, planned.gids.extents, {}, {}, {}};
  if (sandbox) nesting = {sandbox->users.uids, sandbox->users.gids, sandbox->users.path, {}, {}};
  bool enters = !oci::joins_in_any_order(start.program);
  for (const oci::Joined& one : joined) {
    if (sandbox && one.owner == sandbox->users.id) continue;
    nesting.foreign.insert(one.type);
    if (enters && oci::can_be_entered(one.type)) nesting.entered.insert(one.type);
  }
  return nesting;
}

std::string left_out_text(const identity::IdPlan& plan) {
  std::vector<Id> ids;
  for (const auto& missing : plan.left_out) ids.push_back(missing.true_id);
  std::sort(ids.begin(), ids.end());
  return identity::format_id_list(ids).substr(0, 200);
}

void tell(const Start& start, const oci::Nesting& nesting, const Planned& planned,
          const oci::Edited& edited) {
  std::string line = "id=" + log::quoted(start.call.id) +
                     " uid_lines=" + std::to_string(nesting.uids.size()) +
                     " gid_lines=" + std::to_string(nesting.gids.size());
  if (!nesting.join.empty()) line += " joins=" + log::quoted(nesting.join);
  if (!planned.uids.left_out.empty())
    line += " uids_left_out=" + log::quoted(left_out_text(planned.uids));
  if (!planned.gids.left_out.empty())
    line += " gids_left_out=" + log::quoted(left_out_text(planned.gids));
  if (!planned.agreed) line += " agreed=false";
  for (const std::string& note : edited.notes) line += " note=" + log::quoted(note);
  start.events.line("runtime.map", line);
}

// --- records ------------------------------------------------------------------------------------

std::optional<oci::Records> open_records() {
  auto directory = serving::open_runtime_dir();
  if (!directory) return std::nullopt;
  auto records = oci::Records::open(directory->get());
  if (!records) return std::nullopt;
  return std::move(*records);
}

std::string absolute(const std::string& path) {
  char* real = ::realpath(path.c_str(), nullptr);
  std::string found = real ? real : path;
  std::free(real);
  return found;
}

void remember(const Start& start, const std::optional<Given>& given) {
  auto records = open_records();
  if (!records) return;
  oci::Record record{
      start.call.id, absolute(start.call.bundle), "unchanged", start.program, {}, {}};
  record.created = std::time(nullptr);
  if (given) {
    record.mode = given->slots ? "slot" : "map";
    record.supervised = given->supervised;
    record.uids = identity::map_text(given->nesting.uids);
    record.gids = identity::map_text(given->nesting.gids);
    record.entered = given->entered;
  }
  if (auto done = records->write(start.call.root, record); !done)
    start.events.line("runtime.record", "error=" + log::quoted(done.error().message));
}

void forget(const oci::Invocation& call) {
  if (auto records = open_records()) records->remove(call.root, call.id);
}

// --- create, run --------------------------------------------------------------------------------

// What is not to be touched, and why; empty: it gets a user namespace of ours.
base::Checked<std::string> left_alone(const oci::Spec& spec) {
  if (spec.mode == "off") return "the annotation says off";
  if (!spec.mode.empty() && spec.mode != "map" && spec.mode != "slot")
    return base::refuse("the annotation " + std::string(oci::kModeAnnotation) + " says \"" +
                        spec.mode.substr(0, 40) + "\"; it can be map, slot or off");
  if (spec.users == oci::Spec::Users::engine) return "the engine has given it a user namespace";
  if (::geteuid() != 0) return "not root of a user namespace";
  auto maps = serving::IdMaps::of_this_process();
  if (maps.uids == "0 0 4294967295" && maps.gids == maps.uids) return "every id is mapped";
  return std::string();
}

bool has_aliases(const oci::Nesting& nesting) {
  auto above = [](const auto& extents) {
    return std::any_of(extents.begin(), extents.end(),
                       [](const auto& e) { return e.inside >= identity::kAliasBase; });
  };
  return above(nesting.uids) || above(nesting.gids);
}

void tell_filter(const Start& start, const ContainerFilter& filter,
                 const std::vector<std::string>& left) {
  std::string line = "id=" + log::quoted(start.call.id);
  if (!filter.why.empty())
    return start.events.line("runtime.unsupervised", line + " why=" + log::quoted(filter.why));
  if (!filter.profile) return;
  line += " profile=" + std::string(seccomp::profile_name(*filter.profile));
  for (const std::string& name : left) line += " not_watched=" + log::quoted(name);
  start.events.line("runtime.supervised", line);
}

// Without a user namespace of its own: `why` it can not have one, or that somebody wants it so.
base::Checked<Given> give_slots(const Start& start, const oci::Spec& spec, oci::Json& config,
                                const std::string& why) {
  oci::Spec wanted = spec;
  if (wanted.profile.empty() && start.config.runtime.profile == "off") wanted.profile = "auto";
  TRY(filter, find_filter(start.config, seccomp::Mode::slot, wanted, config));
  if (!filter.profile) return base::refuse(why + "; slot mode needs a supervisor: " + filter.why);
  if (spec.users == oci::Spec::Users::ours)
    return base::refuse("the bundle has a user namespace of ours already: make it anew");
  // Without no_new_privs the filter comes first; only crun sets the groups before it.
  auto sets = oci::joins_in_any_order(start.program) ? oci::Sets::groups : oci::Sets::nothing;
  if (spec.no_new_privileges) sets = oci::Sets::all;
  TRY(ids, put_in_slots(config, spec, start.config, sets));
  config["annotations"][oci::kModeAnnotation] = "slot";
  start.events.line("runtime.slot",
                    "id=" + log::quoted(start.call.id) + " why=" + log::quoted(why) +
                        (ids.doubt.empty() ? "" : " doubt=" + log::quoted(ids.doubt)));
  tell_filter(start, filter, put_filter(config, filter, start.call.id, start.program));
  Given given;
  given.slots = given.supervised = true;
  return given;
}

base::Checked<Given> give_namespace(const Start& start, const oci::Spec& spec, oci::Json& config) {
  TRY(filter, find_filter(start.config, seccomp::Mode::map, spec, config));
  TRY(found, find_ids(start, spec));
  WantedIds wanted{found.uids.by_importance(), found.gids.by_importance(), spec.sandbox};
  if (filter.profile) wanted.aliases = identity::Aliases::all;
  TRY(planned, plan_namespace(start.config, wanted));
  if (!planned.doubt.empty())
    start.events.line("runtime.doubt",
                      "id=" + log::quoted(start.call.id) + " why=" + log::quoted(planned.doubt));
  TRY_VOID(check_musts(spec.uids, "uid", planned.uids));
  TRY_VOID(check_musts(spec.gids, "gid", planned.gids));
  std::vector<oci::Joined> joined = oci::look_at(spec.namespaces);
  TRY(sandbox, find_sandbox(start, spec, planned, oci::nested_owner(joined), config, filter));
  oci::Nesting nesting = choose(start, planned, sandbox, joined);
  oci::Json before = config;
  auto edited = oci::nest(config, nesting);
  if (!edited && start.config.runtime.profile != "off") {
    config = std::move(before);
    auto instead = give_slots(start, spec, config, edited.error().message);
    if (instead) return instead;
  }
  if (!edited) return tl::make_unexpected(std::move(edited.error()));
  TRY_VOID(oci::make_settings(edited->settings, joined));
  if (sandbox) oci::put_slots(config, sandbox->uids, sandbox->gids);
  tell(start, nesting, planned, *edited);
  Given given{nesting, {}};
  // Without a number for any other slot there would be nothing to answer.
  if (filter.profile && has_aliases(nesting)) {
    tell_filter(start, filter, put_filter(config, filter, start.call.id, start.program));
    given.supervised = true;
  } else {
    tell_filter(start, filter, {});
  }
  for (const oci::Joined& one : joined)
    if (nesting.entered.contains(one.type))
      given.entered.push_back({one.type, one.path, one.inode});
  return given;
}

base::Checked<std::vector<oci::Entered>> prepare_start(const Start& start) {
  std::string path = start.call.config_path();
  TRY(file, oci::read_regular(path));
  TRY(config, oci::parse_object(file.text, path));
  TRY_VOID(oci::put_back(config, path));
  TRY(spec, oci::read_spec(config, path));
  TRY(why, left_alone(spec));
  if (!why.empty()) {
    start.events.line("runtime.left_alone",
                      "id=" + log::quoted(start.call.id) + " why=" + log::quoted(why));
    remember(start, std::nullopt);
    return std::vector<oci::Entered>();
  }
  TRY(given, spec.mode == "slot" ? give_slots(start, spec, config, "the annotation says slot")
                                 : give_namespace(start, spec, config));
  remember(start, given);
  file.text = oci::json_text(config);
  TRY_VOID(oci::replace_file(path, file));
  return given.entered;
}

// --- the call -----------------------------------------------------------------------------------

// podman gives most calls an environment of XDG_RUNTIME_DIR alone. Root of a user namespace is, one
// level up, the user whose settings count.
std::string home_of_owner() {
  unsigned long inside = 1, outside = 0;
  base::Fd file(::open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC));
  char line[64] = "";
  if (!file.valid() || ::read(file.get(), line, sizeof line - 1) <= 0 ||
      std::sscanf(line, "%lu %lu", &inside, &outside) != 2 || inside != 0)
    return {};
  const passwd* user = ::getpwuid(static_cast<uid_t>(outside));
  return user && user->pw_dir && user->pw_dir[0] == '/' ? user->pw_dir : "";
}

config::Settings read_settings() {
  config::Sources sources = config::default_sources(environ);
  if (sources.user_file.empty())
    if (std::string home = home_of_owner(); !home.empty())
      sources.user_file = home + "/.config/usernetes-identity/config.toml";
  return config::read_sources(sources);
}

std::optional<oci::Record> record_of(const oci::Invocation& call) {
  if (call.id.empty() || call.starts()) return std::nullopt;
  auto records = open_records();
  return records ? records->read(call.root, call.id) : std::nullopt;
}

// A container that is there already stays with the runtime that made it.
base::Checked<std::string> program_of(const std::optional<oci::Record>& record,
                                      const config::Settings& settings) {
  if (record && record->program.starts_with('/'))
    if (auto found = oci::find_runtime(record->program)) return found;
  return oci::find_runtime(settings.config.runtime.program);
}

base::Checked<std::string> prepare(const oci::Invocation& call) {
  config::Settings settings = read_settings();
  std::optional<oci::Record> record = record_of(call);
  TRY(program, program_of(record, settings));
  if (call.starts()) {
    if (!settings.problems.empty()) return base::refuse(settings.problems.front());
    TRY(entered,
        prepare_start({call, settings.config, program, Events(settings.config, call.debug)}));
    TRY_VOID(oci::enter(entered));
  }
  if (call.verb == "exec") {
    TRY_VOID(prepare_exec(call, record, settings.config));
    TRY_VOID(enter_for_exec(call, record, program));
  }
  if (call.verb == "delete") forget(call);
  return program;
}

}  // namespace

int runtime_program(std::span<const char* const> words) {
  oci::Invocation call = oci::read_invocation(words);
  auto program = prepare(call);
  if (!program) return fail(call, program.error().message);
  return fail(call, oci::become(*program, words).error().message);
}

Action prepare_runtime(CLI::App& options) {
  options.footer(
      "usernetes-identity runtime [OPTION...] VERB ... takes the command line of crun and runc and "
      "becomes one of them (setting runtime.program). Before create and run it gives the "
      "container a user namespace in which each id that it needs is on its live slot, and a filter "
      "by which a daemon lets it have other ids as well (runtime.profile). The same as program "
      "usernetes-identity-runtime, for "
      "engines that want a path. Annotations: org.usernetes.identity.ids names more ids, "
      "org.usernetes.identity.mode=off leaves a container as it is, mode=slot gives it no "
      "namespace, "
      "only the filter; org.usernetes.identity.profile is basic, full or off.");
  return [] { return runtime_program({}); };
}

}  // namespace cli
