#include "config/show.hpp"

#include <concepts>
#include <cstdio>

namespace config {
namespace {

constexpr std::size_t kOriginColumn = 36, kMostColumns = 100;

// "[section]" whenever a key begins another one.
void open_section(std::string& text, std::string& section, std::string_view key) {
  std::string_view const name = key.substr(0, key.find('.'));
  if (name == section) return;
  section = name;
  text += (text.empty() ? "[" : "\n[") + section + "]\n";
}

template <class Member>
std::string value_text(Config const& c, std::string_view key) {
  std::string const text = field_text(c, key);
  return std::same_as<Member, std::string> ? toml_string(text) : text;
}

std::string assignment(std::string_view key, std::string const& value) {
  return std::string(key.substr(key.find('.') + 1)) + " = " + value;
}

// The words of `text` in comment lines.
std::string comment(std::string_view text) {
  std::string out, line = "#";
  while (!text.empty()) {
    std::string_view const word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (line.size() + 1 + word.size() > kMostColumns) {
      out += line + "\n";
      line = "#";
    }
    line += " " + std::string(word);
  }
  return out + line + "\n";
}

}  // namespace

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    auto const byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04X", byte);
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string as_toml(Settings const& settings, bool origins) {
  std::string text, section;
  Config::fields(settings.config,
                 [&]<class Member>(std::string_view key, Member const&, auto, Allowed const&) {
                   open_section(text, section, key);
                   std::string line = assignment(key, value_text<Member>(settings.config, key));
                   if (origins) {
                     line.resize(std::max(line.size() + 2, kOriginColumn), ' ');
                     auto const found = settings.origins.find(key);
                     line += "# " + (found == settings.origins.end() ? "built-in" : found->second);
                   }
                   text += line + "\n";
                 });
  return text;
}

std::string example_toml() {
  std::string text, section;
  Config const c;
  Config::fields(c, [&]<class Member>(std::string_view key, Member const&, std::string_view help,
                                      Allowed const& allowed) {
    open_section(text, section, key);
    text += comment(std::string(help) + "; allowed: " + allowed_text(key) + "; takes effect " +
                    std::string(effect_text(allowed.effect)));
    text += "#" + assignment(key, value_text<Member>(c, key)) + "\n";
  });
  return text;
}

}  // namespace config
