#include "cli/install.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <generated/embedded_units.hpp>  // from systemd/*.in, by cmake
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/installed_files.hpp"
#include "cli/systemctl.hpp"
#include "config/show.hpp"

namespace cli {
namespace {

struct Options {
  bool dry_run = false, undo = false, json = false, no_systemd = false, storage_conf = false,
       containers_conf = false;
};

/// Where things of this user go, and the program that they name.
struct Places {
  std::string home, config, state;  // directories
  std::string program;              // the file that runs now
  std::string link() const { return home + "/.local/bin/usernetes-identity"; }
  std::string runtime() const { return home + "/.local/bin/usernetes-identity-runtime"; }
  std::string containers_conf() const {
    return config + "/containers/containers.conf.d/usernetes-identity.conf";
  }
  std::string unit(const char* kind) const {
    return config + "/systemd/user/usernetes-identity." + kind;
  }
  std::string settings() const { return config + "/usernetes-identity/config.toml"; }
  std::string storage_conf() const { return config + "/containers/storage.conf"; }
  std::string memory() const { return state + "/usernetes-identity/installed.json"; }
};

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// As the XDG base directory specification has it: a relative path is as good as none.
std::string directory(const char* name, const std::string& otherwise) {
  std::string value = variable(name);
  return value.starts_with('/') ? value : otherwise;
}

base::Checked<Places> find_places() {
  Places places;
  places.home = variable("HOME");
  if (!places.home.starts_with('/')) return base::refuse("install: HOME is not set");
  struct stat status {};
  if (::stat(places.home.c_str(), &status) != 0)
    return base::refuse("install: HOME is " + places.home + ", which does not exist");
  if (status.st_uid != ::geteuid())
    return base::refuse("install: HOME is " + places.home + ", which belongs to uid " +
                        std::to_string(status.st_uid) + "; run it as that user");
  places.config = directory("XDG_CONFIG_HOME", places.home + "/.config");
  places.state = directory("XDG_STATE_HOME", places.home + "/.local/state");
  std::string program(4096, '\0');
  ssize_t length = ::readlink("/proc/self/exe", program.data(), program.size());
  if (length <= 0) return base::refuse("install: /proc/self/exe cannot be read");
  places.program = program.substr(0, static_cast<std::size_t>(length));
  for (unsigned char c : places.program)
    if (c < 0x20 || c == 0x7f)
      return base::refuse("install: the program's path has a control character in it");
  return places;
}

// A word of a unit's command line: systemd.service(5), "COMMAND LINES".
std::string unit_word(const std::string& path) {
  std::string out;
  bool quoted = false;
  for (char c : path) {
    quoted = quoted || c == ' ' || c == '\'' || c == '"' || c == ';';
    if (c == '"' || c == '\\') out += '\\';
    if (c == '%' || c == '$') out += c;
    out += c;
  }
  return quoted ? "\"" + out + "\"" : out;
}

std::string filled(std::string_view form, const std::string& program) {
  const std::pair<std::string, std::string> values[] = {
      {"@PROGRAM@", unit_word(program)},
      {"@PROGRAM_NOTE@", "written by `usernetes-identity install`, removed by `install --undo`"}};
  std::string text(form);
  for (const auto& [name, value] : values)
    for (std::size_t at = 0; (at = text.find(name, at)) != text.npos; at += value.size())
      text.replace(at, name.size(), value);
  return text;
}

std::string storage_lines(const std::string& program) {
  return "[storage.options.overlay]\nmount_program = " + config::toml_string(program) + "\n";
}

// podman 4.3 reads runtime_supports_nocgroup, its manual says runtime_supports_nocgroups. A list
// replaces the built-in one.
std::string runtime_lines(const std::string& runtime) {
  return "[engine]\n"
         "runtime = \"usernetes\"\n"
         "runtime_supports_json = [\"crun\", \"runc\", \"kata\", \"runsc\", \"krun\", "
         "\"usernetes\"]\n"
         "runtime_supports_nocgroup = [\"crun\", \"krun\", \"usernetes\"]\n"
         "runtime_supports_nocgroups = [\"crun\", \"krun\", \"usernetes\"]\n"
         "[engine.runtimes]\nusernetes = [" +
         config::toml_string(runtime) + "]\n";
}

std::vector<Wanted> everything(const Places& places, const Options& options,
                               const std::string& program) {
  std::vector<Wanted> all;
  if (!options.no_systemd) {
    all.push_back({places.unit("service"), filled(kServiceUnit, program)});
    all.push_back({places.unit("socket"), filled(kSocketUnit, program)});
  }
  all.push_back(
      {places.settings(),
       "# Settings of usernetes-identity; `usernetes-identity config check` checks them.\n"
       "# A line counts when its first \"#\" is taken away.\n\n" +
           config::example_toml()});
  if (options.storage_conf)
    all.push_back({places.storage_conf(),
                   "# Takes the place of /etc/containers/storage.conf.\n"
                   "[storage]\ndriver = \"overlay\"\n" +
                       storage_lines(program)});
  if (options.containers_conf)
    all.push_back({places.containers_conf(),
                   "# New containers of podman are started by usernetes-identity, which becomes\n"
                   "# crun or runc (runtime.program in its config.toml).\n" +
                       runtime_lines(places.runtime())});
  return all;
}

struct Report {
  std::vector<Outcome> outcomes;
  std::vector<std::string> notes;
};

void print(const Report& report, const Options& options) {
  if (!options.json) {
    for (const Outcome& outcome : report.outcomes)
      std::printf("%s %s%s%s\n", deed_text(outcome.deed, options.dry_run), outcome.path.c_str(),
                  outcome.why.empty() ? "" : ": ", outcome.why.c_str());
    for (const std::string& note : report.notes) std::printf("%s\n", note.c_str());
    return;
  }
  nlohmann::ordered_json all = {{"dry_run", options.dry_run}, {"files", nlohmann::json::array()}};
  for (const Outcome& outcome : report.outcomes) {
    nlohmann::ordered_json one = {{"path", outcome.path},
                                  {"action", deed_text(outcome.deed, options.dry_run)}};
    if (!outcome.why.empty()) one["why"] = outcome.why;
    if (options.dry_run && !options.undo) one["content"] = outcome.content;
    all["files"].push_back(one);
  }
  all["notes"] = report.notes;
  std::puts(all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

std::string text_of_file(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

void advise(const Places& places, const Options& options, const std::string& program,
            Report& report) {
  if (!options.no_systemd && !options.dry_run) {
    bool loaded = has_manager() && systemctl({"daemon-reload"}).has_value();
    report.notes.push_back(
        loaded ? "next: systemctl --user enable --now usernetes-identity.socket"
               : "no systemd user manager answers here: at the next login, systemctl --user enable "
                 "--now usernetes-identity.socket (without it the first mount starts a daemon)");
  }
  std::string there = text_of_file(places.storage_conf());
  if (there.find(config::toml_string(program)) != there.npos) return;
  if (options.storage_conf && options.dry_run && there.empty()) return;
  report.notes.push_back("podman uses it when " + places.storage_conf() +
                         (there.empty() ? " exists (install --storage-conf writes it) and has:\n"
                                        : " (which is yours, and left alone) has:\n") +
                         storage_lines(program) +
                         "and, if there are images already: podman system reset");
}

base::Checked<Report> install(const Places& places, const Options& options) {
  TRY(files, InstalledFiles::read(places.memory(), options.dry_run));
  Report report;
  std::string program = places.program;
  auto put_all = [&]() -> base::Checked<base::Unit> {
    if (places.program != places.link()) {
      TRY(linked, files.put({places.link(), places.program, true}));
      // By the link an upgrade needs no new units, only another target.
      if (linked.deed != Deed::left) program = places.link();
      report.outcomes.push_back(std::move(linked));
    }
    TRY(runtime, files.put({places.runtime(), program, true}));
    report.outcomes.push_back(std::move(runtime));
    for (const Wanted& wanted : everything(places, options, program)) {
      TRY(outcome, files.put(wanted));
      report.outcomes.push_back(std::move(outcome));
    }
    return base::Unit{};
  };
  auto done = put_all();
  auto saved = files.save();
  if (!done) return tl::make_unexpected(done.error());
  if (!saved) return tl::make_unexpected(saved.error());
  advise(places, options, program, report);
  return report;
}

base::Checked<Report> undo(const Places& places, const Options& options) {
  TRY(files, InstalledFiles::read(places.memory(), options.dry_run));
  bool manager = !options.no_systemd && !options.dry_run && has_manager();
  // Only what starts it at login: whoever uses its mounts now keeps them.
  if (manager)
    systemctl({"--quiet", "disable", "usernetes-identity.socket", "usernetes-identity.service"});
  TRY(outcomes, files.remove_all());
  Report report{std::move(outcomes), {}};
  if (report.outcomes.empty()) report.notes.push_back("nothing was installed");
  if (!manager) return report;
  systemctl({"daemon-reload"});
  if (systemctl({"--quiet", "is-active", "usernetes-identity.service"}))
    report.notes.push_back(
        "the service still runs: systemctl --user stop usernetes-identity.socket "
        "usernetes-identity.service");
  return report;
}

int run_install(const Options& options) {
  auto places = find_places();
  if (!places) return complain(places.error().message);
  auto report = options.undo ? undo(*places, options) : install(*places, options);
  if (!report) return complain(report.error().message);
  print(*report, options);
  return kDone;
}

}  // namespace

Action prepare_install(CLI::App& options) {
  auto wanted = std::make_shared<Options>();
  options.footer(
      "Writes the units into $XDG_CONFIG_HOME/systemd/user, a settings file in which everything is "
      "commented out, and the links ~/.local/bin/usernetes-identity and "
      "usernetes-identity-runtime. A file that is there already, "
      "or was changed since, is left alone and named. What was written is remembered in "
      "$XDG_STATE_HOME/usernetes-identity/installed.json. Exit code 0: nothing failed, even if "
      "files were left.");
  options.add_flag("--dry-run", wanted->dry_run, "only say what would be done");
  options.add_flag("--undo", wanted->undo, "remove what an earlier install wrote, if unchanged");
  options.add_flag("--json", wanted->json, "as JSON; with --dry-run the contents too");
  options.add_flag("--no-systemd", wanted->no_systemd, "no units, and no systemctl");
  options.add_flag("--storage-conf", wanted->storage_conf,
                   "write a storage.conf for podman, if there is none");
  options.add_flag("--containers-conf", wanted->containers_conf,
                   "make podman start new containers by us, with a drop-in of containers.conf");
  return [wanted] { return run_install(*wanted); };
}

}  // namespace cli
