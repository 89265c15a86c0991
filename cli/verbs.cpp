#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/nearest.hpp"
#include "cli/client_verbs.hpp"
#include "cli/config_verb.hpp"
#include "cli/daemon_verb.hpp"
#include "cli/hook_verb.hpp"
#include "cli/install.hpp"
#include "cli/map_verb.hpp"
#include "cli/plan_verb.hpp"
#include "cli/profile_verb.hpp"
#include "cli/run_verb.hpp"
#include "cli/runtime_verb.hpp"
#include "cli/version.hpp"
#include "config/mount_options.hpp"

namespace cli {
namespace {

Action prepare_help(CLI::App& options);

Action prepare_version(CLI::App&) {
  return [] {
    std::fputs(version_text().c_str(), stdout);
    return kDone;
  };
}

constexpr Verb kVerbs[] = {
    {"config", "show the settings and where they come from, or check them", prepare_config},
    {"daemon", "serve all mounts of this user", prepare_daemon},
    {"drain", "let a daemon take no new mounts, and end after the last", prepare_drain},
    {"help", "show the options of the mount program, or those of a verb", prepare_help},
    {"hook", "be podman's precreate hook: user and groups become slots", prepare_hook},
    {"install", "write a user's units, settings file and link, or remove them again",
     prepare_install},
    {"log-level", "show or change how much a daemon logs", prepare_log_level},
    {"map", "show what an id becomes in the pool, and who has a slot", prepare_map},
    {"metrics", "print a daemon's counters in Prometheus' text format", prepare_metrics},
    {"mounts", "list the mounts that a daemon serves", prepare_mounts},
    {"plan", "show which ids an image needs, what they become, and what does not fit",
     prepare_plan},
    {"profile", "print the filter that lets a daemon answer for ids, for engines to load",
     prepare_profile},
    {"reload", "give a daemon the settings as they are now", prepare_reload},
    {"restart", "replace a daemon while its mounts stay", prepare_restart},
    {.name = "run",
     .summary = "run a command with the ids it needs, without a container",
     .prepare = prepare_run,
     .usage_code = kRunFailed,
     .passes_on = true},
    {.name = "runtime",
     .summary = "be an OCI runtime: give a container the ids it needs, then become crun or runc",
     .prepare = prepare_runtime,
     .passes_on = true},
    {"status", "show what a daemon serves, and how it does", prepare_status},
    {"stop", "end a daemon and its mounts", prepare_stop},
    {"version", "show the version, the libraries and what this machine's kernel offers",
     prepare_version},
};

// CLI11 reports by exceptions; they end here.
int read_options(CLI::App& app, std::span<const char* const> arguments, int usage_code) {
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::Success&) {  // --help
    std::fputs(app.help().c_str(), stdout);
    return kDone;
  } catch (const CLI::Error& error) {
    return complain(app.get_name() + ": " + error.what() + "; see: " + app.get_name() + " --help",
                    usage_code);
  }
  return -1;
}

std::string app_name(const Verb& verb) {
  return "usernetes-identity " + std::string(verb.name);
}

int help_of(const std::string& word) {
  const Verb* verb = find_verb(word);
  if (!verb) return refuse_verb(word);
  const char* help = "--help";
  return run_verb(*verb, {&help, 1});
}

Action prepare_help(CLI::App& options) {
  auto word = std::make_shared<std::string>();
  options.add_option("verb", *word, "the verb to explain")->type_name("VERB");
  return [word] {
    if (!word->empty()) return help_of(*word);
    std::fputs((config::mount_help() + verbs_help()).c_str(), stdout);
    return static_cast<int>(kDone);
  };
}

// Text as troff(1) prints it unchanged.
std::string roff(std::string_view text) {
  std::string out;
  for (char c : text)
    out += c == '\\' ? "\\e" : c == '-' ? "\\-" : c == '"' ? "\\(dq" : std::string(1, c);
  return out;
}

std::string option_left(const CLI::Option& option) {
  std::string type = option.get_type_name();
  if (option.get_positional())
    return "[" + type + "]" + (option.get_items_expected_max() > 1 ? "..." : "");
  std::string name = option.get_name(false, true);
  for (std::size_t at = 0; (at = name.find(',', at)) != name.npos; at += 2)
    name.insert(at + 1, " ");
  return name + (type.empty() || option.get_items_expected_max() == 0 ? "" : " " + type);
}

std::string options_roff(const CLI::App& app, const std::string& before) {
  std::string page;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_name() == "--help") continue;
    page += ".TP\n.B " + roff(before + option_left(*option)) + "\n" +
            roff(option->get_description()) + "\n";
  }
  return page;
}

}  // namespace

std::span<const Verb> verbs() {
  return kVerbs;
}

const Verb* find_verb(std::string_view name) {
  for (const Verb& verb : kVerbs)
    if (verb.name == name) return &verb;
  return nullptr;
}

int run_verb(const Verb& verb, std::span<const char* const> arguments) {
  CLI::App app{std::string(verb.summary), app_name(verb)};
  Action action = verb.prepare(app);
  int code = read_options(app, arguments, verb.usage_code);
  return code >= 0 ? code : action();
}

int refuse_verb(std::string_view word) {
  std::vector<std::string_view> names;
  for (const Verb& verb : kVerbs)
    if (!verb.internal) names.push_back(verb.name);
  std::string message = "no verb \"" + std::string(word.substr(0, 80)) + "\"";
  std::string meant = base::nearest(word, names);
  if (!meant.empty()) message += "; did you mean \"" + meant + "\"?";
  return complain(message + "; see: usernetes-identity help (a mount needs -o lowerdir=DIR)",
                  kUsage);
}

int complain(const std::string& message, int code) {
  std::fprintf(stderr, "usernetes-identity: %s\n", message.c_str());
  return code;
}

std::string verbs_help() {
  std::string text = "\nusage: usernetes-identity VERB [OPTION...]\n\n";
  for (const Verb& verb : kVerbs) {
    if (verb.internal) continue;
    std::string left = "    " + std::string(verb.name);
    left.resize(std::max<std::size_t>(left.size() + 2, 16), ' ');
    text += left + std::string(verb.summary) + "\n";
  }
  return text + "\nusernetes-identity help VERB shows its options.\n";
}

std::string verbs_markdown() {
  std::string table = "| verb | what it does |\n|---|---|\n";
  for (const Verb& verb : kVerbs)
    if (!verb.internal)
      table += "| `" + std::string(verb.name) + "` | " + std::string(verb.summary) + " |\n";
  return table;
}

std::string verbs_roff() {
  std::string page;
  for (const Verb& verb : kVerbs) {
    if (verb.internal) continue;
    CLI::App app{std::string(verb.summary), app_name(verb)};
    Action action = verb.prepare(app);
    page += ".SS " + roff(verb.name) + "\n" + roff(verb.summary) + ".\n";
    if (!app.get_footer().empty()) page += roff(app.get_footer()) + "\n";
    page += options_roff(app, "");
    for (const CLI::App* part : app.get_subcommands([](const CLI::App*) { return true; })) {
      std::string name = std::string(verb.name) + " " + part->get_name();
      page += ".TP\n.B " + roff(name) + "\n" + roff(part->get_description()) + "\n" +
              options_roff(*part, name + " ");
    }
  }
  return page;
}

}  // namespace cli
