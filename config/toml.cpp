#include "config/toml.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

namespace config {
namespace {

constexpr std::string_view kEnvironmentPrefix = "USERNETES_IDENTITY_";
// A settings file is a page. More is a mistake (a device, a core dump) not worth our memory.
constexpr std::size_t kMostBytes = 1 << 20;

base::Checked<> refuse_at(std::string_view file, toml::source_region const& where,
                          std::string const& what) {
  return base::refuse(std::string(file) + ":" + std::to_string(where.begin.line) + ": " + what);
}

std::optional<Value> value_of(toml::node const& node) {
  if (auto const* s = node.as_string()) return Value(s->get());
  if (auto const* b = node.as_boolean()) return Value(b->get());
  if (auto const* i = node.as_integer()) return Value(std::int64_t{i->get()});
  if (auto const* d = node.as_floating_point()) return Value(d->get());
  return std::nullopt;
}

std::string type_of(toml::node const& node) {
  if (node.is_table()) return "a table";
  if (node.is_array()) return "an array";
  return "a date or time";
}

base::Checked<> apply_one(Config& c, std::string const& key, toml::source_region const& where,
                          toml::node const& node, std::string_view file) {
  auto const value = value_of(node);
  if (!value && is_field(key)) {
    return refuse_at(file, where, key + " is " + type_of(node) + "; allowed: " + allowed_text(key));
  }
  // For an unknown key the value does not matter: set_field refuses by the name.
  auto const done = set_field(c, key, value.value_or(Value(false)));
  if (!done) return refuse_at(file, where, done.error().message);
  return base::Unit{};
}

base::Checked<> apply_table(Config& c, toml::table const& root, std::string_view file) {
  for (auto const& [section, node] : root) {
    std::string const name(section.str());
    toml::table const* const table = node.as_table();
    if (table == nullptr) {
      TRY_VOID(apply_one(c, name, section.source(), node, file));
      continue;
    }
    if (table->empty() && !name.empty()) {
      bool known = false;
      Config::fields(c, [&](std::string_view key, auto&, auto, auto const&) {
        known = known || key.starts_with(name + ".");
      });
      if (!known) TRY_VOID(apply_one(c, name, section.source(), node, file));
    }
    for (auto const& [key, value] : *table) {
      std::string const full = name + "." + std::string(key.str());
      TRY_VOID(apply_one(c, full, key.source(), value, file));
    }
  }
  return base::Unit{};
}

base::Checked<Config> parse_into(std::string_view text, std::string_view file, Config start) {
  try {
    toml::table const root = toml::parse(text, file);
    TRY_VOID(apply_table(start, root, file));
    return start;
  } catch (toml::parse_error const& e) {
    return tl::make_unexpected(refuse_at(file, e.source(), std::string(e.description())).error());
  } catch (std::exception const& e) {
    return base::refuse(std::string(file) + ":1: " + e.what());
  }
}

base::Checked<Config> load_file(std::string const& path, Config start) {
  std::error_code missing;
  auto const kind = std::filesystem::status(path, missing).type();
  if (kind == std::filesystem::file_type::not_found) return start;
  // A directory on the way is not ours to search: HOME is another user's, as under sudo -E or
  // setpriv.
  if (missing == std::errc::permission_denied) return start;
  // Asked first because opening a FIFO would wait for ever, and a directory opens like a file.
  if (!missing && kind != std::filesystem::file_type::regular) {
    return base::refuse(path + ": not a regular file");
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) return base::refuse(path + ": cannot be opened: " + std::strerror(errno));
  std::string text(kMostBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return base::refuse(path + ": cannot be read: " + std::strerror(errno));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kMostBytes) return base::refuse(path + ": larger than 1 MiB");
  return parse_into(text, path, std::move(start));
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

}  // namespace

base::Checked<Config> load_toml(std::string_view text, std::string_view file_name_for_messages,
                                Config defaults) {
  TRY(loaded, parse_into(text, file_name_for_messages, std::move(defaults)));
  auto const sane = check_together(loaded);
  if (!sane) {
    return base::refuse(std::string(file_name_for_messages) + ":1: " + sane.error().message);
  }
  return loaded;
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

base::Checked<Config> load_config(Sources const& sources) {
  Config c;
  if (!sources.system_dir.empty()) {
    TRY(files, toml_files(sources.system_dir));
    for (std::string const& file : files) {
      TRY(next, load_file(file, std::move(c)));
      c = std::move(next);
    }
  }
  if (!sources.user_file.empty()) {
    TRY(next, load_file(sources.user_file, std::move(c)));
    c = std::move(next);
  }
  for (auto const& [name, value] : sources.environment) {
    auto const key = key_of_variable(name);
    if (!key) continue;
    auto const done = set_field(c, *key, Text{value});
    if (!done) return base::refuse("environment variable " + name + ": " + done.error().message);
  }
  TRY_VOID(check_together(c));
  return c;
}

}  // namespace config
