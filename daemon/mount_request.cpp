#include "daemon/mount_request.hpp"

#include "config/setting.hpp"
#include "daemon/reload.hpp"

namespace serving {

base::Checked<MountRequest> MountRequest::parse(const Json& args, const config::Config& own) {
  MountRequest request;
  auto arguments = texts_of(args, "arguments");
  if (!arguments) return base::refuse("arguments: not a list of texts");
  request.arguments = std::move(*arguments);
  auto given = args.find("settings");
  if (given != args.end() && given->is_object())
    for (const auto& [key, value] : given->items())
      if (is_mount_setting(key)) request.settings[key] = value;
  TRY(config, settings_of({{"settings", request.settings}}, own));
  std::vector<const char*> words;
  for (const std::string& word : request.arguments) words.push_back(word.c_str());
  TRY(options, config::parse_mount_arguments(words, config));
  if (options.mountpoint.empty() || options.lowerdirs.empty())
    return base::refuse("arguments: not those of a mount");
  config::Config::fields(own, [&](std::string_view key, const auto&, auto, const auto&) {
    if (!is_mount_setting(key))
      (void)config::set_field(options.config, key, config::Text{config::field_text(own, key)});
  });
  request.path = text_of(args, "path");
  if (request.path.empty()) request.path = options.mountpoint;
  request.device = text_of(args, "device");
  request.mounted_in = text_of(args, "mounted_in");
  request.options = std::move(options);
  return request;
}

Json MountRequest::as_json() const {
  return {{"path", path},
          {"device", device},
          {"mounted_in", mounted_in},
          {"arguments", arguments},
          {"settings", settings}};
}

bool is_mount_setting(std::string_view key) {
  bool found = false;
  config::Config config;
  config::Config::fields(config, [&](std::string_view name, auto&, auto, const auto& allowed) {
    found = found || (name == key && allowed.effect == config::Effect::mount);
  });
  return found;
}

Json mount_settings(const config::Config& config) {
  Json settings = Json::object();
  config::Config::fields(config, [&](std::string_view key, const auto&, auto, const auto& allowed) {
    if (allowed.effect == config::Effect::mount)
      settings[std::string(key)] = config::field_text(config, key);
  });
  return settings;
}

Json identity_settings(const config::Config& config) {
  Json settings = Json::object();
  config::Config::fields(config, [&](std::string_view key, const auto&, auto, const auto&) {
    if (key.starts_with("identity.")) settings[std::string(key)] = config::field_text(config, key);
  });
  return settings;
}

bool same_for_process(const config::Config& a, const config::Config& b) {
  bool same = true;
  config::Config::fields(a, [&](std::string_view key, const auto&, auto, const auto& allowed) {
    if (allowed.effect != config::Effect::mount)
      same = same && config::field_text(a, key) == config::field_text(b, key);
  });
  return same;
}

}  // namespace serving
