#include "config/setting.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <optional>
#include <vector>

#include "base/nearest.hpp"

namespace config {
namespace {

std::string plain(double number) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, number, std::chars_format::fixed).ptr};
}

template <class Member>
std::string describe(Allowed const& allowed) {
  if constexpr (std::same_as<Member, bool>) return "true or false";
  if constexpr (std::same_as<Member, std::string>) {
    if (allowed.words.empty()) return "a string";
    std::string text;
    for (char c : allowed.words) text += c == '|' ? std::string(", ") : std::string(1, c);
    return text;
  }
  return plain(allowed.min) + " .. " + plain(allowed.max);
}

bool is_word_of(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    std::string_view const one = words.substr(0, words.find('|'));
    if (one == word) return true;
    words.remove_prefix(std::min(one.size() + 1, words.size()));
  }
  return false;
}

std::optional<double> to_number(std::string_view text) {
  double number = 0;
  char const* const end = text.data() + text.size();
  auto const [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

std::optional<bool> to_bool(std::string_view text) {
  if (is_word_of("true|1|yes|on", text)) return true;
  if (is_word_of("false|0|no|off", text)) return false;
  return std::nullopt;
}

// Each reader turns a Value into the member's type, or into nothing when the type is wrong.
struct Reader {
  Allowed allowed;

  bool read(bool& member, Value const& value) const {
    std::optional<bool> got;
    if (auto const* b = std::get_if<bool>(&value)) got = *b;
    if (auto const* t = std::get_if<Text>(&value)) got = to_bool(t->value);
    if (got) member = *got;
    return got.has_value();
  }
  bool read(std::string& member, Value const& value) const {
    std::string text;
    if (auto const* t = std::get_if<Text>(&value)) {
      text = t->value;
    } else if (auto const* s = std::get_if<std::string>(&value)) {
      text = *s;
    } else {
      return false;
    }
    if (!allowed.words.empty() && !is_word_of(allowed.words, text)) return false;
    member = std::move(text);
    return true;
  }
  bool read(double& member, Value const& value) const {
    auto const got = number(value);
    if (got) member = *got;
    return got.has_value();
  }
  bool read(std::uint32_t& member, Value const& value) const {
    if (std::holds_alternative<double>(value)) return false;
    auto const got = number(value);
    if (!got || *got != std::floor(*got)) return false;
    member = static_cast<std::uint32_t>(*got);
    return true;
  }

 private:
  std::optional<double> number(Value const& value) const {
    std::optional<double> got;
    if (auto const* t = std::get_if<Text>(&value)) got = to_number(t->value);
    if (auto const* i = std::get_if<std::int64_t>(&value)) got = static_cast<double>(*i);
    if (auto const* d = std::get_if<double>(&value)) got = *d;
    // Written so that NaN fails too.
    if (got && !(*got >= allowed.min && *got <= allowed.max)) got.reset();
    return got;
  }
};

// The value as the user wrote it, cut where a message would become unreadable.
std::string shown(Value const& value) {
  std::string text;
  if (auto const* t = std::get_if<Text>(&value)) text = "\"" + std::string(t->value) + "\"";
  if (auto const* s = std::get_if<std::string>(&value)) text = "\"" + *s + "\"";
  if (auto const* b = std::get_if<bool>(&value)) text = *b ? "true" : "false";
  if (auto const* i = std::get_if<std::int64_t>(&value)) text = std::to_string(*i);
  if (auto const* d = std::get_if<double>(&value)) {
    char digits[32];
    text.assign(digits, std::to_chars(digits, digits + sizeof digits, *d).ptr);
  }
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

template <class Member>
std::string text_of(Member const& member) {
  if constexpr (std::same_as<Member, bool>) return member ? "true" : "false";
  if constexpr (std::same_as<Member, std::string>) return member;
  if constexpr (std::same_as<Member, double>) return plain(member);
  if constexpr (std::same_as<Member, std::uint32_t>) return std::to_string(member);
}

template <class Member>
std::string default_text(Member const& member) {
  if constexpr (std::same_as<Member, std::string>) return "\"" + member + "\"";
  return text_of(member);
}

// "fuse.timout" is near "fuse.timeout"; "timeout" alone lacks its section.
std::string unknown_key(std::string_view word) {
  std::vector<std::string_view> keys;
  std::string all, meant;
  Config c;
  Config::fields(c, [&](std::string_view key, auto const&, auto, Allowed const&) {
    keys.push_back(key);
    all += (all.empty() ? "" : ", ") + std::string(key);
    if (!word.empty() && key.substr(key.find('.') + 1) == word) meant = key;
  });
  if (meant.empty()) meant = base::nearest(word, keys);
  return "unknown key \"" + std::string(word.substr(0, 80)) + "\"; " +
         (meant.empty() ? "allowed: " + all : "did you mean \"" + meant + "\"?");
}

}  // namespace

bool is_field(std::string_view key) {
  bool found = false;
  Config c;
  Config::fields(c, [&](std::string_view name, auto const&, auto, auto const&) {
    found = found || name == key;
  });
  return found;
}

base::Checked<> set_field(Config& c, std::string_view key, Value const& value) {
  bool known = false;
  bool done = false;
  Config::fields(c, [&](std::string_view name, auto& member, auto, Allowed const& allowed) {
    if (name != key) return;
    known = true;
    done = Reader{allowed}.read(member, value);
  });
  if (done) return base::Unit{};
  if (known) {
    return base::refuse(std::string(key) + " = " + shown(value) +
                        " is not allowed; allowed: " + allowed_text(key));
  }
  return base::refuse(unknown_key(key));
}

base::Checked<> check_together(Config const& c) {
  if (c.identity.window_first <= c.identity.window_last) return base::Unit{};
  return base::refuse("identity.window_first = " + std::to_string(c.identity.window_first) +
                      " is above identity.window_last = " + std::to_string(c.identity.window_last));
}

std::string allowed_text(std::string_view key) {
  std::string text;
  Config c;
  Config::fields(
      c, [&]<class Member>(std::string_view name, Member const&, auto, Allowed const& allowed) {
        if (name == key) text = describe<Member>(allowed);
      });
  return text;
}

std::string field_text(Config const& c, std::string_view key) {
  std::string text;
  Config::fields(c, [&](std::string_view name, auto const& member, auto, Allowed const&) {
    if (name == key) text = text_of(member);
  });
  return text;
}

std::string_view effect_text(Effect effect) {
  switch (effect) {
    case Effect::reload: return "at reload";
    case Effect::mount: return "at the next mount";
    case Effect::container: return "at the next container";
    case Effect::restart: break;
  }
  return "when the daemon starts anew";
}

std::string fields_markdown() {
  std::string table =
      "| key | default | allowed | takes effect | meaning |\n|---|---|---|---|---|\n";
  Config c;
  Config::fields(c, [&]<class Member>(std::string_view name, Member const& member,
                                      std::string_view help, Allowed const& allowed) {
    table += "| `" + std::string(name) + "` | `" + default_text(member) + "` | " +
             describe<Member>(allowed) + " | " + std::string(effect_text(allowed.effect)) + " | " +
             std::string(help) + " |\n";
  });
  return table;
}

}  // namespace config
