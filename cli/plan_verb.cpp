#include "cli/plan_verb.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "cli/config_verb.hpp"
#include "cli/plan_report.hpp"
#include "cli/table.hpp"
#include "identity/id_list.hpp"
#include "identity/owner_record.hpp"
#include "images/bundle.hpp"
#include "images/image.hpp"
#include "images/pod_yaml.hpp"

namespace cli {
namespace {

using identity::Id;
using images::Weight;

struct Wanted {
  std::shared_ptr<config::Sources> sources;
  std::vector<std::string> images, ids;
  std::string user, groups;
  bool json = false, uid_map = false, gid_map = false, podman = false;
  bool no_cache = false, exact = false;
};

// A line on the terminal that says how far one reading is; nothing for what is quick.
class ProgressLine {
 public:
  explicit ProgressLine(std::string name) : name_(printable(name)) {}
  ~ProgressLine() {
    if (shown_) std::fputs("\r\033[K", stderr);
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(std::string_view what, std::uint64_t done) {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    next_ = now + std::chrono::milliseconds(200);
    shown_ = true;
    std::fprintf(stderr, "\r\033[K%.60s: %llu %.*s", name_.c_str(),
                 static_cast<unsigned long long>(done), static_cast<int>(what.size()), what.data());
  }

 private:
  std::string name_;
  std::chrono::steady_clock::time_point next_ =
      std::chrono::steady_clock::now() + std::chrono::seconds(1);
  bool shown_ = false;
};

base::Checked<base::Unit> add_list(const std::string& list, const char* origin,
                                   images::FoundIds& found) {
  auto ids = identity::parse_id_list(list);
  if (!ids) return base::refuse(std::string(origin) + ": " + ids.error().message);
  for (Id id : *ids) {
    found.uids.add(id, Weight::asked, origin);
    found.gids.add(id, Weight::asked, origin);
  }
  return base::Unit{};
}

base::Checked<base::Unit> add_options(const Wanted& wanted, images::FoundIds& found) {
  if (!wanted.user.empty()) {
    const std::size_t colon = wanted.user.find(':');
    auto uid = identity::parse_id(wanted.user.substr(0, colon));
    auto gid = colon == wanted.user.npos ? uid : identity::parse_id(wanted.user.substr(colon + 1));
    if (!uid || !gid)
      return base::refuse("--user " + wanted.user + ": is not UID or UID:GID, numbers from 0 to " +
                          "4294967294 (names are the image's own)");
    found.uids.add(*uid, Weight::process, "--user");
    found.gids.add(*gid, Weight::process, "--user");
  }
  auto groups = identity::parse_id_list(wanted.groups);
  if (!groups) return base::refuse("--groups: " + groups.error().message);
  for (Id id : *groups) found.gids.add(id, Weight::process, "--groups");
  for (const std::string& list : wanted.ids) TRY_VOID(add_list(list, "--id", found));
  return base::Unit{};
}

// The ids of its processes: an image brings its own.
std::string annotation_of(const images::FoundIds& found) {
  std::vector<Id> ids;
  for (const images::Found* side : {&found.uids, &found.gids})
    for (const auto& [id, fact] : side->facts())
      if (fact.weight <= Weight::asked) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  std::string list = identity::format_id_list(ids);
  std::replace(list.begin(), list.end(), ',', ' ');  // podman ends an annotation at a comma
  return std::string(images::kIdsAnnotation) + ": \"" + list + "\"";
}

base::Checked<bool> read_sources(const Wanted& wanted, PlanReport& report) {
  bool pod = false;
  for (const std::string& name : wanted.images) {
    ProgressLine line(name);
    images::ReadOptions options;
    if (!wanted.no_cache) options.cache_dir = images::default_cache_dir();
    if (::isatty(STDERR_FILENO))
      options.progress = [&line](std::string_view what, std::uint64_t done) {
        line.show(what, done);
      };
    TRY(image, images::read_image(name, options));
    report.sources.push_back({name, image.kind, image.layers, image.from_cache});
    report.found.add_all(image.found);
    pod = pod || image.pod;
  }
  return pod;
}

base::Checked<PlanReport> make_plan(const Wanted& wanted, const config::Config& config) {
  PlanReport report;
  TRY_VOID(add_options(wanted, report.found));
  TRY_VOID(add_list(config.runtime.ids, "the setting runtime.ids", report.found));
  TRY_VOID(
      enter_pool(config));  // files of images belong to ids that only root of the pool may look at
  TRY(pod, read_sources(wanted, report));
  if (pod) report.annotation = annotation_of(report.found);
  report.found.gids.add(5, Weight::devpts, "group of terminals (devpts)");
  if (!wanted.exact) images::add_ordinary(report.found);
  WantedIds ids{report.found.uids.by_importance(), report.found.gids.by_importance()};
  // podman by itself has no supervisor.
  if (!wanted.podman && config.runtime.profile != "off") ids.aliases = identity::Aliases::all;
  TRY(planned, plan_namespace(config, ids, Purpose::look));
  report.uids = planned.uid_pool;
  report.gids = planned.gid_pool;
  report.planned = std::move(planned);
  report.rule = config::rule(config);
  report.window = config::window(config);
  return report;
}

int show(const Wanted& wanted, const PlanReport& report) {
  std::string text;
  if (wanted.json) text = report.json();
  if (wanted.uid_map) text = identity::map_text(report.planned.uids.extents);
  if (wanted.gid_map) text = identity::map_text(report.planned.gids.extents);
  if (wanted.podman) text = report.podman();
  if (text.empty()) text = report.text();
  std::fputs(text.c_str(), stdout);
  const std::string unmapped = report.unmapped();
  return unmapped.empty() ? int{kDone} : complain("plan: " + unmapped);
}

int plan(const Wanted& wanted) {
  if (wanted.json + wanted.uid_map + wanted.gid_map + wanted.podman > 1)
    return complain("plan: only one of --json, --uid-map, --gid-map and --podman", kUsage);
  auto config = config::load_config(*wanted.sources);
  if (!config) return complain(config.error().message);
  auto report = make_plan(wanted, *config);
  if (!report) return complain("plan: " + printable(report.error().message));
  return show(wanted, *report);
}

}  // namespace

Action prepare_plan(CLI::App& options) {
  auto wanted = std::make_shared<Wanted>();
  wanted->sources = add_set_option(options);
  options.footer(
      "A source is an image of podman's (name or id), an archive of one (docker's, OCI's or the "
      "root as tar, compressed or not), an OCI layout, a root directory, a bundle, or the YAML of "
      "a pod. Layers that were read before are remembered in "
      "$XDG_CACHE_HOME/usernetes-identity/plan. Exit code 1: a source can not be read, or an id of "
      "--user, --groups, --id, or a pod can not be mapped.");
  options.add_option("sources", wanted->images, "what will run")->type_name("SOURCE");
  options.add_option("--user", wanted->user, "who the container's process is")
      ->type_name("UID[:GID]");
  options.add_option("--groups", wanted->groups, "its supplementary groups")->type_name("LIST");
  options
      .add_option("--id", wanted->ids,
                  "ids that must be mapped, as uids and as gids: 60000,70000-70010")
      ->type_name("LIST")
      ->expected(1)
      ->take_all();
  options.add_flag("--json", wanted->json, "as JSON");
  options.add_flag("--uid-map", wanted->uid_map, "only the text for uid_map");
  options.add_flag("--gid-map", wanted->gid_map, "only the text for gid_map");
  options.add_flag("--podman", wanted->podman,
                   "only the flags --uidmap and --gidmap, for podman without the runtime; "
                   "layers must then hold no foreign ids");
  options.add_flag("--no-cache", wanted->no_cache, "read all, and remember nothing");
  options.add_flag("--exact", wanted->exact,
                   "only what was found: not 1000 to 1015 for accounts that are added later");
  return [wanted] { return plan(*wanted); };
}

}  // namespace cli
