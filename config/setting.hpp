// Owns: setting one Config field by its name, from text, with the same limits whatever the source.
// Called by: config/toml, config/mount_options, cli (--set).
// Never: knows a key; the list is Config::fields().
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.hpp"
#include "config/config.hpp"

namespace config {

/// What a source gave: TOML knows the type, the environment and mount options give text only.
struct Text {
  std::string_view value;
};
using Value = std::variant<Text, std::string, bool, std::int64_t, double>;

/// Whether fields() lists `key` ("section.key").
bool is_field(std::string_view key);
/// Sets `key`. The message of a refusal names the key and what is allowed, not the place.
base::Checked<> set_field(Config& c, std::string_view key, Value const& value);
/// What no single field can tell: the window must not end before it begins.
base::Checked<> check_together(Config const& c);
/// "true or false", "1 .. 2", "separate, share": the allowed values of `key` for a human.
std::string allowed_text(std::string_view key);
/// The value of `key` as set_field takes it from a Text; empty for an unknown key.
std::string field_text(Config const& c, std::string_view key);
/// When a running daemon takes a change of `key`, in words that follow "takes effect".
std::string_view effect_text(Effect effect);
/// The settings as a Markdown table: key, default, allowed, when a change takes effect, meaning.
/// Ends with a newline.
std::string fields_markdown();

}  // namespace config
