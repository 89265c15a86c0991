#include "seccomp/state_message.hpp"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>

namespace seccomp {
namespace {

using Json = nlohmann::json;

constexpr int kMostDepth = 64;          // brackets: the parser recurses when it destroys
constexpr std::size_t kMostName = 256;  // of a container: podman's are 64 characters

constexpr std::array<std::pair<std::string_view, Mode>, 3> kModes = {
    {{"map", Mode::map}, {"slot", Mode::slot}, {"engine", Mode::engine}}};
constexpr std::array<std::pair<std::string_view, Profile>, 4> kProfiles = {
    {{"basic", Profile::basic},
     {"full", Profile::full},
     {"engine", Profile::engine},
     {"unpack", Profile::unpack}}};

template <class Names, class T>
std::string_view name_in(const Names& names, T value) {
  for (const auto& [name, known] : names)
    if (known == value) return name;
  return "?";
}

// An object, or nothing: not JSON, too deep, something else.
std::optional<Json> parse_object(std::string_view text) {
  bool too_deep = false;
  auto watch = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kMostDepth) too_deep = true;
    return !too_deep;
  };
  Json parsed = Json::parse(text, watch, false);
  if (too_deep || !parsed.is_object()) return std::nullopt;
  return parsed;
}

std::string text_of(const Json& object, const char* key) {
  auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return {};
  auto text = found->get<std::string>();
  return text.size() <= kMostName ? text : std::string();
}

// A process number; 0: there is none, or it can be none.
pid_t pid_of(const Json& object, const char* key) {
  auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return 0;
  auto number = found->get<std::int64_t>();
  return number > 0 && number <= INT32_MAX ? static_cast<pid_t>(number) : 0;
}

// False: not ours, and `info` is as before.
bool take_metadata(const std::string& text, ContainerInfo& info) {
  auto metadata = parse_object(text);
  if (!metadata || metadata->value("v", Json()) != Json(1)) return false;
  auto mode = mode_named(text_of(*metadata, "mode"));
  auto profile = profile_named(text_of(*metadata, "profile"));
  if (!mode || !profile) return false;
  info.mode = *mode;
  info.profile = *profile;
  auto killable = metadata->find("killable");
  info.killable = killable != metadata->end() && *killable == Json(true);
  if (std::string id = text_of(*metadata, "id"); !id.empty()) info.id = id;
  return true;
}

}  // namespace

std::string_view mode_name(Mode mode) {
  return name_in(kModes, mode);
}

std::string_view profile_name(Profile profile) {
  return name_in(kProfiles, profile);
}

std::optional<Mode> mode_named(std::string_view name) {
  for (const auto& [known, mode] : kModes)
    if (known == name) return mode;
  return std::nullopt;
}

std::optional<Profile> profile_named(std::string_view name) {
  for (const auto& [known, profile] : kProfiles)
    if (known == name) return profile;
  return std::nullopt;
}

base::Checked<StateMessage> parse_state(std::string_view text) {
  if (text.size() > kMostState) return base::refuse("container state: more than 1 MiB");
  auto json = parse_object(text);
  if (!json) return base::refuse("container state: not a JSON object");
  auto fds = json->find("fds");
  if (fds == json->end() || !fds->is_array())
    return base::refuse("container state: no list \"fds\"");
  StateMessage message;
  std::optional<std::size_t> listener;
  for (std::size_t i = 0; i < fds->size() && !listener; ++i)
    if ((*fds)[i] == Json("seccompFd")) listener = i;
  if (!listener) return base::refuse("container state: no \"seccompFd\" among its descriptors");
  message.listener = *listener;
  // crun says 0 of a process that joins a container: who makes the first call is looked at then.
  auto state = json->find("state");
  bool has_state = state != json->end() && state->is_object();
  if (has_state) {
    message.info.id = text_of(*state, "id");
    message.info.pid = pid_of(*state, "pid");
  }
  if (message.info.pid == 0) message.info.pid = pid_of(*json, "pid");
  auto metadata = json->find("metadata");
  bool has_metadata = metadata != json->end() && metadata->is_string();
  message.ours = has_metadata && take_metadata(metadata->get<std::string>(), message.info);
  if (message.info.id.empty()) message.info.id = "unnamed";
  return message;
}

std::string metadata_text(const ContainerInfo& info) {
  Json metadata = {{"v", 1},
                   {"id", info.id},
                   {"mode", mode_name(info.mode)},
                   {"profile", profile_name(info.profile)}};
  if (info.killable) metadata["killable"] = true;
  return metadata.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace seccomp
