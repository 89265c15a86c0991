#include "config/toml.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <optional>

namespace config {
namespace {

// What one text adds: applies what is right, notes what is wrong with its line.
class Reading {
 public:
  Reading(std::string_view file, Settings& settings) : file_(file), settings_(settings) {}
  // toml++ keeps tables sorted by key; people read by line.
  ~Reading() {
    std::stable_sort(wrong_.begin(), wrong_.end(),
                     [](auto const& a, auto const& b) { return a.first < b.first; });
    for (auto& [line, message] : wrong_) settings_.problems.push_back(std::move(message));
  }
  Reading(Reading const&) = delete;
  Reading& operator=(Reading const&) = delete;

  void parse(std::string_view text);

 private:
  void apply_table(toml::table const& root);
  void apply_one(std::string const& key, toml::source_region const& where, toml::node const& node);
  std::string at(toml::source_region const& where) const {
    return std::string(file_) + ":" + std::to_string(where.begin.line);
  }
  void wrong(toml::source_region const& where, std::string const& what) {
    wrong_.emplace_back(where.begin.line, at(where) + ": " + what);
  }

  std::string_view file_;
  Settings& settings_;
  std::vector<std::pair<toml::source_index, std::string>> wrong_;
};

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

void Reading::apply_one(std::string const& key, toml::source_region const& where,
                        toml::node const& node) {
  auto const value = value_of(node);
  if (!value && is_field(key)) {
    return wrong(where, key + " is " + type_of(node) + "; allowed: " + allowed_text(key));
  }
  // For an unknown key the value does not matter: set_field refuses by the name.
  auto const done = set_field(settings_.config, key, value.value_or(Value(false)));
  if (!done) return wrong(where, done.error().message);
  settings_.origins[key] = at(where);
}

void Reading::apply_table(toml::table const& root) {
  for (auto const& [section, node] : root) {
    std::string const name(section.str());
    toml::table const* const table = node.as_table();
    if (table == nullptr) {
      apply_one(name, section.source(), node);
      continue;
    }
    if (table->empty() && !name.empty()) {
      bool known = false;
      Config::fields(settings_.config, [&](std::string_view key, auto&, auto, auto const&) {
        known = known || key.starts_with(name + ".");
      });
      if (!known) apply_one(name, section.source(), node);
    }
    for (auto const& [key, value] : *table) {
      apply_one(name + "." + std::string(key.str()), key.source(), value);
    }
  }
}

void Reading::parse(std::string_view text) {
  try {
    apply_table(toml::parse(text, file_));
  } catch (toml::parse_error const& e) {
    wrong(e.source(), std::string(e.description()));
  } catch (std::exception const& e) {
    wrong_.emplace_back(1, std::string(file_) + ":1: " + e.what());
  }
}

}  // namespace

void read_toml(std::string_view text, std::string_view file_name_for_messages, Settings& settings) {
  Reading(file_name_for_messages, settings).parse(text);
}

base::Checked<Config> load_toml(std::string_view text, std::string_view file_name_for_messages,
                                Config defaults) {
  Settings settings{.config = std::move(defaults), .origins = {}, .problems = {}};
  read_toml(text, file_name_for_messages, settings);
  if (!settings.problems.empty()) return base::refuse(settings.problems.front());
  auto const sane = check_together(settings.config);
  if (!sane) {
    return base::refuse(std::string(file_name_for_messages) + ":1: " + sane.error().message);
  }
  return std::move(settings.config);
}

}  // namespace config
