#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/io.hpp"

#include "config/toml.hpp"

namespace config {
namespace {

constexpr std::string_view kEnvironmentPrefix = "USERNETES_IDENTITY_";
// A settings file is a page. More is a mistake (a device, a core dump) not worth our memory.
constexpr std::size_t kMostBytes = 1 << 20;

// Empty: there is no such file.
base::Checked<std::optional<std::string>> text_of_file(std::string const& path) {
  std::error_code missing;
  auto const kind = std::filesystem::status(path, missing).type();
  if (kind == std::filesystem::file_type::not_found) return std::nullopt;
  // A directory on the way is not ours to search: HOME is another user's, as under sudo -E or
  // setpriv.
  if (missing == std::errc::permission_denied) return std::nullopt;
  // Asked first because opening a FIFO would wait for ever, and a directory opens like a file.
  if (!missing && kind != std::filesystem::file_type::regular) {
    return base::refuse(path + ": not a regular file");
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) return base::refuse_errno(path + ": cannot be opened");
  // In pieces: the runtime reads this before each container, and a megabyte of zeroes is dear.
  std::string text;
  for (char piece[4096]; text.size() <= kMostBytes && in; text.append(piece, in.gcount()))
    in.read(piece, sizeof piece);
  if (in.bad()) return base::refuse_errno(path + ": cannot be read");
  if (text.size() > kMostBytes) return base::refuse(path + ": larger than 1 MiB");
  return std::optional(std::move(text));
}

base::Checked<std::vector<std::string>> toml_files(std::string const& directory) {
  std::vector<std::string> files;
  std::error_code error;
  std::filesystem::directory_iterator it(directory, error);
  while (!error && it != std::filesystem::directory_iterator()) {
    if (it->path().extension() == ".toml") files.push_back(it->path().string());
    it.increment(error);
  }
  bool const absent = error == std::errc::no_such_file_or_directory;
  if (error && !absent) return base::refuse(directory + ": " + error.message());
  std::sort(files.begin(), files.end());
  return files;
}

// USERNETES_IDENTITY_OVERLAY_REDIRECT_DIR -> overlay.redirect_dir. A variable whose first word is
// no section is not a setting (somebody else's, e.g. a test's); with a section it must be known.
std::optional<std::string> key_of_variable(std::string_view name) {
  if (!name.starts_with(kEnvironmentPrefix)) return std::nullopt;
  std::string key;
  for (char c : name.substr(kEnvironmentPrefix.size())) {
    key += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  std::size_t const word = key.find('_');
  if (word == key.npos) return std::nullopt;
  key[word] = '.';
  bool is_section = false;
  Config c;
  Config::fields(c, [&](std::string_view field, auto&, auto, auto const&) {
    is_section = is_section || field.starts_with(std::string_view(key).substr(0, word + 1));
  });
  if (!is_section) return std::nullopt;
  return key;
}

void read_text(std::string const& key, std::string_view value, std::string const& origin,
               Settings& settings) {
  auto const done = set_field(settings.config, key, Text{value});
  if (done) {
    settings.origins[key] = origin;
  } else {
    settings.problems.push_back(origin + ": " + done.error().message);
  }
}

void read_flag(std::string const& flag, Settings& settings) {
  std::size_t const equals = flag.find('=');
  if (equals == flag.npos) {
    settings.problems.push_back("--set " + flag + ": not of the form section.key=value");
    return;
  }
  read_text(flag.substr(0, equals), std::string_view(flag).substr(equals + 1), "--set", settings);
}

}  // namespace

void read_file(std::string const& path, Settings& settings) {
  auto const text = text_of_file(path);
  if (!text) {
    settings.problems.push_back(text.error().message);
  } else if (*text) {
    read_toml(**text, path, settings);
  }
}

Sources default_sources(char const* const* envp) {
  Sources s;
  std::string_view config_home;
  std::string_view home;
  for (; envp != nullptr && *envp != nullptr; ++envp) {
    std::string_view const entry = *envp;
    std::size_t const equals = entry.find('=');
    if (equals == entry.npos) continue;
    std::string_view const name = entry.substr(0, equals);
    std::string_view const value = entry.substr(equals + 1);
    if (name == "XDG_CONFIG_HOME") config_home = value;
    if (name == "HOME") home = value;
    if (name.starts_with(kEnvironmentPrefix)) s.environment.emplace_back(name, value);
  }
  // The XDG base directory specification ignores relative paths.
  if (config_home.starts_with('/')) {
    s.user_file = std::string(config_home) + "/usernetes-identity/config.toml";
  } else if (home.starts_with('/')) {
    s.user_file = std::string(home) + "/.config/usernetes-identity/config.toml";
  }
  return s;
}

base::Checked<std::vector<std::string>> files_of(Sources const& sources) {
  std::vector<std::string> files;
  if (!sources.system_dir.empty()) {
    TRY(found, toml_files(sources.system_dir));
    files = std::move(found);
  }
  if (!sources.user_file.empty()) files.push_back(sources.user_file);
  return files;
}

Settings read_sources(Sources const& sources) {
  Settings settings;
  auto files = files_of(sources);
  if (!files) {  // the system's directory cannot be read; the user's file still can
    settings.problems.push_back(files.error().message);
    files = files_of(
        {.system_dir = "", .user_file = sources.user_file, .environment = {}, .flags = {}});
  }
  for (std::string const& file : *files) read_file(file, settings);
  for (auto const& [name, value] : sources.environment) {
    if (auto const key = key_of_variable(name))
      read_text(*key, value, "environment variable " + name, settings);
  }
  for (std::string const& flag : sources.flags) read_flag(flag, settings);
  auto const sane = check_together(settings.config);
  if (!sane) settings.problems.push_back(sane.error().message);
  return settings;
}

base::Checked<Config> load_config(Sources const& sources) {
  Settings settings = read_sources(sources);
  if (!settings.problems.empty()) return base::refuse(settings.problems.front());
  return std::move(settings.config);
}

}  // namespace config
