#include "runtime/docker_profile.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

namespace oci {
namespace {

#if defined(__x86_64__)
constexpr std::string_view kHere = "amd64", kToken = "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
constexpr std::string_view kHere = "arm64", kToken = "SCMP_ARCH_AARCH64";
#endif

// podman's default_capabilities, containers.conf(5).
constexpr std::array<std::string_view, 11> kCapabilities = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",    "CAP_FSETID",
    "CAP_KILL",    "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",   "CAP_SETGID",
    "CAP_SETPCAP", "CAP_SETUID",           "CAP_SYS_CHROOT"};

bool has_capability(const std::string& name) {
  return std::find(kCapabilities.begin(), kCapabilities.end(), name) != kCapabilities.end();
}
bool is_here(const std::string& arch) {
  return arch == kHere;
}

const Json& list_of(const Json& rule, const char* terms, const char* key) {
  static const Json none = Json::array();
  auto found = rule.find(terms);
  if (found == rule.end() || !found->is_object()) return none;
  auto list = found->find(key);
  return list != found->end() && list->is_array() ? *list : none;
}

bool any(const Json& list, bool (*test)(const std::string&)) {
  return std::any_of(list.begin(), list.end(), [test](const Json& one) {
    return one.is_string() && test(one.get_ref<const std::string&>());
  });
}

bool counts(const Json& rule) {
  const Json& wanted = list_of(rule, "includes", "caps");
  const Json& arches = list_of(rule, "includes", "arches");
  const bool all = std::all_of(wanted.begin(), wanted.end(), [](const Json& one) {
    return one.is_string() && has_capability(one.get_ref<const std::string&>());
  });
  return all && (arches.empty() || any(arches, is_here)) &&
         !any(list_of(rule, "excludes", "caps"), has_capability) &&
         !any(list_of(rule, "excludes", "arches"), is_here);
}

Json architectures_of(const Json& profile) {
  Json all = Json::array({kToken});
  auto map = profile.find("archMap");
  if (map == profile.end() || !map->is_array()) return all;
  for (const Json& one : *map)
    if (one.is_object() && one.value("architecture", Json()) == kToken &&
        one.value("subArchitectures", Json()).is_array())
      for (const Json& sub : one["subArchitectures"]) all.push_back(sub);
  return all;
}

}  // namespace

bool is_dockers(const Json& profile) {
  if (profile.contains("archMap")) return true;
  auto rules = profile.find("syscalls");
  return rules != profile.end() && rules->is_array() &&
         std::any_of(rules->begin(), rules->end(), [](const Json& rule) {
           return rule.is_object() &&
                  (rule.contains("includes") || rule.contains("excludes") || rule.contains("name"));
         });
}

Json without_terms(const Json& profile) {
  Json made = {{"defaultAction", profile.value("defaultAction", Json("SCMP_ACT_ERRNO"))},
               {"architectures", architectures_of(profile)}};
  if (profile.contains("defaultErrnoRet")) made["defaultErrnoRet"] = profile["defaultErrnoRet"];
  made["syscalls"] = Json::array();
  auto rules = profile.find("syscalls");
  if (rules == profile.end() || !rules->is_array()) return made;
  for (const Json& rule : *rules) {
    if (!rule.is_object() || !counts(rule)) continue;
    Json kept = Json::object();
    for (const char* key : {"names", "action", "errnoRet", "args"})
      if (rule.contains(key) && !rule[key].is_null()) kept[key] = rule[key];
    if (rule.contains("name") && !kept.contains("names"))
      kept["names"] = Json::array({rule["name"]});
    made["syscalls"].push_back(std::move(kept));
  }
  return made;
}

}  // namespace oci
