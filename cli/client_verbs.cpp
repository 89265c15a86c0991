#include "cli/client_verbs.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>

#include "cli/config_verb.hpp"
#include "cli/daemon_verb.hpp"
#include "cli/detach.hpp"
#include "cli/status_text.hpp"
#include "cli/table.hpp"
#include "cli/unit_job.hpp"
#include "config/toml.hpp"
#include "daemon/client.hpp"

extern char** environ;

namespace cli {
namespace {

using serving::Client;
using serving::Json;

// What it takes those who use mounts to let go of them, and more.
constexpr int kPatience = 20;

struct Asked {
  std::shared_ptr<config::Sources> sources;
  std::string socket;
  std::string level;
  bool json = false, inflight = false, now = false, from_unit = false;
  double watch = 0;  // seconds; 0: once
};

std::shared_ptr<Asked> add_common(CLI::App& options, bool json = true) {
  auto asked = std::make_shared<Asked>();
  asked->sources = std::make_shared<config::Sources>(config::default_sources(environ));
  options.add_option("--socket", asked->socket, "of the daemon; default: the one that runs")
      ->type_name("PATH");
  if (json) options.add_flag("--json", asked->json, "the answer as JSON");
  return asked;
}

std::string no_daemon() {
  std::string names;
  for (const std::string& path : serving::socket_names())
    if (serving::somebody_listens(path)) names += "\n  " + path;
  if (!names.empty()) return "several daemons run; choose one with --socket:" + names;
  return "no daemon is running. The first mount starts one; or: systemctl --user start "
         "usernetes-identity.socket (after: usernetes-identity install); or: usernetes-identity "
         "daemon";
}

/// Connects, or says why not and sets `code`. What is wrong with other settings does not matter
/// here: one must be able to look at a daemon with a broken settings file.
std::optional<Client> connect(const Asked& asked, int& code) {
  config::Config config = config::read_sources(*asked.sources).config;
  std::string path = asked.socket.empty() ? serving::find_socket(config) : asked.socket;
  if (path.empty() || !serving::somebody_listens(path)) {
    code = complain(path.empty() ? no_daemon() : path + ": nobody listens there. " + no_daemon(),
                    kNoDaemon);
    return std::nullopt;
  }
  auto client = Client::connect(path);
  if (client) return std::move(*client);
  code = complain(client.error().message);
  return std::nullopt;
}

std::string as_line(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

/// One question, and its answer by `text` or as JSON.
int ask(const Asked& asked, const Json& request, std::string (*text)(const Json&)) {
  int code = kDone;
  auto client = connect(asked, code);
  if (!client) return code;
  auto answer = client->call(request);
  if (!answer) return complain(answer.error().message);
  bool line = asked.watch > 0;
  std::fputs((asked.json ? as_line(*answer, line ? -1 : 2) : text(*answer)).c_str(), stdout);
  return std::fflush(stdout) == 0 ? kDone : kFailed;
}

// Containers of another user namespace have a daemon of their own.
void name_others(const Asked& asked) {
  if (asked.json || !asked.socket.empty()) return;
  const std::string shown = serving::find_socket(config::read_sources(*asked.sources).config);
  for (const std::string& path : serving::socket_names())
    if (path != shown && serving::somebody_listens(path))
      std::printf("another daemon runs; see: usernetes-identity status --socket %s\n",
                  printable(path).c_str());
}

int status(const Asked& asked) {
  Json request = {{"verb", asked.inflight ? "inflight" : "status"}};
  auto text = asked.inflight ? inflight_text : status_text;
  if (asked.watch <= 0) {
    int code = ask(asked, request, text);
    if (code == kDone) name_others(asked);
    return code;
  }
  for (bool terminal = ::isatty(1) == 1; !std::ferror(stdout);) {
    if (!asked.json) std::fputs(terminal ? "\033[H\033[2J" : "\n", stdout);
    ask(asked, request, text);  // no daemon: it may be on its way back
    ::usleep(static_cast<useconds_t>(asked.watch * 1e6));
  }
  return kFailed;
}

// CLI11 gives nothing, or "{}", for an option without its value.
base::Checked<double> interval_of(const std::string& text) {
  if (text.empty() || text == "{}") return 2;
  double seconds = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || *end != 0 || !(seconds >= 0.1 && seconds <= 86400))
    return base::refuse("\"" + printable(text) + "\" is not a number from 0.1 to 86400");
  return seconds;
}

std::string metrics_text(const Json& answer) {
  return serving::text_of(answer, "text");
}

std::string level_text(const Json& answer) {
  return printable(serving::text_of(answer, "level")) + "\n";
}

int reload(const Asked& asked) {
  config::Settings settings = config::read_sources(*asked.sources);
  for (const std::string& problem : settings.problems)
    std::fprintf(stderr, "%s\n", problem.c_str());
  if (!settings.problems.empty()) return complain("nothing was reloaded");
  Json texts = Json::object();
  config::Config::fields(settings.config,
                         [&](std::string_view key, const auto&, auto, const auto&) {
                           texts[std::string(key)] = config::field_text(settings.config, key);
                         });
  return ask(asked, {{"verb", "reload"}, {"settings", texts}}, reload_text);
}

std::string mounts_left(const Json& answer) {
  return std::to_string(serving::number_of(answer, "mounts").value_or(0));
}

std::string drain_text(const Json& answer) {
  return "takes no new mounts, and ends after the last; mounts now: " + mounts_left(answer) + "\n";
}

/// A request after which the daemon ends; waits for that.
int end(Client& client, const Json& request) {
  auto answer = client.call(request);
  if (!answer) return complain(answer.error().message);
  if (!client.wait_for_end(kPatience))
    return complain("the daemon (pid " + std::to_string(client.hello().pid) +
                    ") still runs after " + std::to_string(kPatience) +
                    " s; mounts: " + mounts_left(*answer));
  return kDone;
}

/// The daemon may be in a namespace from which it cannot reach its mounts; this process can.
base::Checked<base::Unit> detach_mounts(Client& client) {
  TRY(answer, client.call({{"verb", "mounts"}}));
  std::vector<std::string> devices;
  if (auto mounts = answer.find("mounts"); mounts != answer.end() && mounts->is_array())
    for (const Json& mount : *mounts)
      if (std::string device = serving::text_of(mount, "device"); !device.empty())
        devices.push_back(std::move(device));
  for (const std::string& problem : detach_everywhere(devices).failed)
    std::fprintf(stderr, "usernetes-identity: %s\n", printable(problem).c_str());
  return base::Unit{};
}

int stop(const Asked& asked) {
  if (asked.from_unit && !unit_stops_for_good()) return kDone;
  int code = kDone;
  auto client = connect(asked, code);
  if (!client) return code;
  if (!asked.now && !asked.from_unit) {
    // Before the mounts are gone: it refuses while it answers calls of containers.
    auto status = client->call({{"verb", "status"}});
    bool supervises = status && status->contains("containers") && !(*status)["containers"].empty();
    if (supervises) return end(*client, {{"verb", "stop"}});
  }
  if (auto done = detach_mounts(*client); !done) return complain(done.error().message);
  return end(*client, {{"verb", "stop"}, {"now", asked.now}, {"from_unit", asked.from_unit}});
}

int restart(const Asked& asked) {
  int code = kDone;
  auto old = connect(asked, code);
  if (!old) return code;
  std::string path = old->path();
  auto config = config::load_config(*asked.sources);
  if (!config) return complain(config.error().message);
  auto succession = succeed(*old, *config);
  if (!succession) return complain(succession.error().message);
  if (!succession->asked) code = end(*old, {{"verb", "restart"}});
  if (code != kDone) return code;
  if (!succession->done) (void)old->wait_for_end(kPatience);
  // Its manager listens meanwhile: the connection waits for the successor.
  auto client = Client::connect(path);
  if (!client) return complain("no successor: " + client.error().message);
  std::printf("version %s, pid %d\n", printable(client->hello().version).c_str(),
              static_cast<int>(client->hello().pid));
  return kDone;
}

}  // namespace

Action prepare_status(CLI::App& options) {
  auto asked = add_common(options);
  options.footer("Exit code 3: no daemon is running.");
  options.add_flag("--inflight", asked->inflight,
                   "only the requests that wait: for how long, and for what");
  auto seconds = std::make_shared<std::string>();
  CLI::Option* watch =
      options.add_option("--watch", *seconds, "again and again; default: every 2 seconds")
          ->type_name("[SECONDS]")
          ->expected(0, 1);
  return [asked, seconds, watch] {
    if (watch->count() == 0) return status(*asked);
    auto interval = interval_of(*seconds);
    if (!interval) return complain("status: --watch: " + interval.error().message, kUsage);
    asked->watch = *interval;
    return status(*asked);
  };
}

Action prepare_mounts(CLI::App& options) {
  auto asked = add_common(options);
  options.footer("With --json also each operation's count and times, and errors by their number.");
  return [asked] {
    return ask(*asked, {{"verb", "mounts"}, {"detail", asked->json}}, mounts_text);
  };
}

Action prepare_metrics(CLI::App& options) {
  auto asked = add_common(options, false);
  return [asked] { return ask(*asked, {{"verb", "metrics"}}, metrics_text); };
}

Action prepare_log_level(CLI::App& options) {
  auto asked = add_common(options);
  options.footer("Until the next reload or start, which go by log.level.");
  options.add_option("level", asked->level, "debug, info, warning or error; without: show it")
      ->type_name("LEVEL");
  return [asked] {
    return ask(*asked, {{"verb", "log-level"}, {"level", asked->level}}, level_text);
  };
}

Action prepare_reload(CLI::App& options) {
  auto asked = add_common(options);
  asked->sources = add_set_option(options);
  options.footer(
      "The settings are those that this command sees, --set included. Names what is "
      "applied, and what stays until the daemon starts anew.");
  return [asked] { return reload(*asked); };
}

Action prepare_drain(CLI::App& options) {
  auto asked = add_common(options);
  return [asked] { return ask(*asked, {{"verb", "drain"}}, drain_text); };
}

Action prepare_stop(CLI::App& options) {
  auto asked = add_common(options, false);
  options.footer("Detaches all mounts and waits some seconds for those who still use them.");
  options.add_flag("--now", asked->now, "without waiting: who uses a mount gets errors");
  options.add_flag("--from-unit", asked->from_unit,
                   "for ExecStop of the unit: only if it stops for good, not in a restart");
  return [asked] { return stop(*asked); };
}

Action prepare_restart(CLI::App& options) {
  auto asked = add_common(options, false);
  options.footer("Containers keep running and wait for some milliseconds.");
  return [asked] { return restart(*asked); };
}

}  // namespace cli
