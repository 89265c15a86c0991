#include "cli/config_verb.hpp"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "config/show.hpp"

extern char** environ;

namespace cli {
namespace {

struct Wanted {
  std::shared_ptr<config::Sources> sources;
  std::vector<std::string> files;
  bool origin = false, json = false;
};

int tell(const std::vector<std::string>& problems) {
  for (const std::string& problem : problems) std::fprintf(stderr, "%s\n", problem.c_str());
  return problems.empty() ? kDone : kFailed;
}

std::string as_json(const config::Settings& settings) {
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  config::Config::fields(
      settings.config, [&](std::string_view key, const auto& member, auto, const auto&) {
        auto found = settings.origins.find(key);
        bool given = found != settings.origins.end();
        all[std::string(key)] = {{"value", member}, {"origin", given ? found->second : "built-in"}};
      });
  return all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// What is right is shown even where something is wrong: that is how one finds out.
int show(const Wanted& wanted) {
  config::Settings settings = config::read_sources(*wanted.sources);
  std::string text = wanted.json ? as_json(settings) : config::as_toml(settings, wanted.origin);
  std::fputs(text.c_str(), stdout);
  return tell(settings.problems);
}

bool exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}

int check_one_file(const std::string& path) {
  if (!exists(path)) return tell({path + ": does not exist"});
  config::Settings settings;
  config::read_file(path, settings);
  if (auto sane = config::check_together(settings.config); !sane)
    settings.problems.push_back(path + ":1: " + sane.error().message);
  if (settings.problems.empty()) std::printf("%s: ok\n", path.c_str());
  return tell(settings.problems);
}

int check(const Wanted& wanted) {
  int code = kDone;
  for (const std::string& file : wanted.files) code = std::max(code, check_one_file(file));
  if (!wanted.files.empty()) return code;
  code = tell(config::read_sources(*wanted.sources).problems);
  if (code == kDone) std::puts("ok");
  return code;
}

int path(const Wanted& wanted) {
  auto files = config::files_of(*wanted.sources);
  if (!files) return complain(files.error().message);
  for (const std::string& file : *files)
    std::printf("%s%s\n", file.c_str(), exists(file) ? "" : "\t(not there)");
  return kDone;
}

}  // namespace

std::shared_ptr<config::Sources> add_set_option(CLI::App& options) {
  auto sources = std::make_shared<config::Sources>(config::default_sources(environ));
  options.add_option("--set", sources->flags, "a setting; wins over files and environment")
      ->type_name("SECTION.KEY=VALUE")
      ->expected(1)
      ->take_all();
  return sources;
}

Action prepare_config(CLI::App& options) {
  auto wanted = std::make_shared<Wanted>();
  options.footer(
      "Later sources win: /etc/usernetes-identity/*.toml in the order of their names, "
      "$XDG_CONFIG_HOME/usernetes-identity/config.toml, the environment "
      "(USERNETES_IDENTITY_SECTION_KEY), --set.");
  wanted->sources = add_set_option(options);
  options.fallthrough();
  options.require_subcommand(1);
  CLI::App* shown = options.add_subcommand("show", "show every setting, as a settings file");
  shown->add_flag("--origin", wanted->origin, "say where each value was written");
  shown->add_flag("--json", wanted->json, "as JSON, with origins");
  CLI::App* checked = options.add_subcommand(
      "check", "name everything that is wrong, a line each; exit code 1 if there is anything");
  checked->add_option("files", wanted->files, "only these files; default: all sources")
      ->type_name("FILE");
  CLI::App* paths = options.add_subcommand("path", "name the files that are read, the user's last");
  return [wanted, shown, checked, paths] {
    if (shown->parsed()) return show(*wanted);
    return checked->parsed() ? check(*wanted) : paths->parsed() ? path(*wanted) : int{kUsage};
  };
}

}  // namespace cli
