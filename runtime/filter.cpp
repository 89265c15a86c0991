#include "runtime/filter.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

namespace oci {
namespace {

constexpr const char* kKillable = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
constexpr int kNotThere = 38;  // ENOSYS, the same number wherever these profiles are read

std::string text_in(const Json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool allows(std::string_view action) {
  return action == "SCMP_ACT_ALLOW" || action == "SCMP_ACT_LOG";
}

// Docker's form also knows a single "name".
std::vector<std::string> names_of(const Json& rule) {
  std::vector<std::string> names;
  if (auto all = rule.find("names"); all != rule.end() && all->is_array())
    for (const Json& name : *all)
      if (name.is_string()) names.push_back(name.get<std::string>());
  if (std::string one = text_in(rule, "name"); !one.empty()) names.push_back(one);
  return names;
}

bool has_conditions(const Json& rule) {
  auto arguments = rule.find("args");
  return arguments != rule.end() && arguments->is_array() && !arguments->empty();
}

Json arguments_of(const Group& group) {
  Json all = Json::array();
  for (const Compare& one : group) {
    const bool whole = one.mask == ~std::uint64_t{0};
    Json argument = {{"index", one.argument}, {"value", whole ? one.value : one.mask}};
    if (!whole) argument["valueTwo"] = one.value;
    argument["op"] = whole ? "SCMP_CMP_EQ" : "SCMP_CMP_MASKED_EQ";
    all.push_back(std::move(argument));
  }
  return all;
}

// --- the profile ---------------------------------------------------------------------------------

class Editor {
 public:
  Editor(Json& profile, const Watch& wanted) : profile_(profile), wanted_(wanted) {
    for (const Watched& call : wanted.calls) ours_[call.name] = &call;
  }

  std::vector<std::string> edit() {
    const bool open = allows(text_in(profile_, "defaultAction"));
    if (!profile_.contains("syscalls") || !profile_["syscalls"].is_array())
      profile_["syscalls"] = Json::array();
    for (Json& rule : profile_["syscalls"]) edit_rule(rule, open);
    if (open)
      for (const Watched& call : wanted_.calls) add_to_open(call);
    profile_["syscalls"] = std::move(rules_);
    return {left_.begin(), left_.end()};
  }

 private:
  void edit_rule(Json& rule, bool open) {
    if (!rule.is_object()) return;
    const bool allowed = allows(text_in(rule, "action"));
    std::vector<std::string> kept, asked;
    for (const std::string& name : names_of(rule)) {
      auto mine = ours_.find(name);
      if (mine == ours_.end() || !allowed) kept.push_back(name);
      if (mine == ours_.end()) continue;
      if (!allowed) denied_[name] |= !has_conditions(rule);
      if (!allowed || open) continue;
      if (!mine->second->absent && wider(mine->second->when).empty()) {
        asked.push_back(name);
      } else {
        edit_call(rule, *mine->second, kept);
      }
    }
    if (!asked.empty()) rules_.push_back(copy(rule, asked, "SCMP_ACT_NOTIFY"));
    if (kept.empty()) return;
    rule.erase("name");
    rule["names"] = kept;
    rules_.push_back(std::move(rule));
  }

  // One that is allowed by `rule`, and to be asked for under conditions only, or not to be there.
  void edit_call(const Json& rule, const Watched& call, std::vector<std::string>& kept) {
    if (call.absent) {
      if (!denies_as_absent()) add_absent(copy(rule, {call.name}, "SCMP_ACT_ERRNO"));
      return;
    }
    if (has_conditions(rule)) {
      kept.push_back(call.name);
      left_.insert(call.name);
      return;
    }
    const Group asked = wider(call.when);
    rules_.push_back(copy(rule, {call.name}, "SCMP_ACT_NOTIFY"));
    rules_.back()["args"] = arguments_of(asked);
    for (const Group& group : rest_of(asked)) {
      rules_.push_back(copy(rule, {call.name}, text_in(rule, "action")));
      rules_.back()["args"] = arguments_of(group);
    }
  }

  void add_to_open(const Watched& call) {
    auto denied = denied_.find(call.name);
    if (denied != denied_.end()) {
      if (!denied->second) left_.insert(call.name);
      return;
    }
    Json rule = {{"names", Json::array({call.name})}, {"action", "SCMP_ACT_NOTIFY"}};
    if (call.absent) return add_absent(std::move(rule));
    if (call.when.empty()) rules_.push_back(rule);
    for (const Group& group : call.when) {
      rules_.push_back(rule);
      rules_.back()["args"] = arguments_of(group);
    }
  }

  void add_absent(Json rule) {
    rule["action"] = "SCMP_ACT_ERRNO";
    rule["errnoRet"] = kNotThere;
    rules_.push_back(std::move(rule));
  }

  // A rule that says what the default says is an error to libseccomp.
  bool denies_as_absent() const {
    return text_in(profile_, "defaultAction") == "SCMP_ACT_ERRNO" &&
           profile_.value("defaultErrnoRet", Json()) == kNotThere;
  }

  // With what docker's form says of when the rule counts.
  static Json copy(const Json& rule, const std::vector<std::string>& names,
                   const std::string& action) {
    Json made = rule;
    for (const char* key : {"name", "errnoRet", "errno", "comment"}) made.erase(key);
    made["names"] = names;
    made["action"] = action;
    return made;
  }

  Json& profile_;
  const Watch& wanted_;
  std::map<std::string, const Watched*> ours_;
  std::map<std::string, bool> denied_;  // by a rule; true: always
  std::set<std::string> left_;
  Json rules_ = Json::array();
};

#if defined(__x86_64__)
const Json kArchitectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
#elif defined(__aarch64__)
const Json kArchitectures = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#endif

void add_flag(Json& profile) {
  Json& flags = profile["flags"];
  if (!flags.is_array()) flags = Json::array();
  if (std::find(flags.begin(), flags.end(), kKillable) == flags.end()) flags.push_back(kKillable);
}

}  // namespace

Group wider(const std::vector<Group>& any) {
  std::map<unsigned, std::uint64_t> ones;  // bits that are 1 in all groups
  for (std::size_t i = 0; i < any.size(); ++i) {
    std::map<unsigned, std::uint64_t> here;
    for (const Compare& one : any[i]) here[one.argument] = one.mask & one.value;
    if (i == 0) ones = here;
    for (auto& [argument, bits] : ones) bits &= here[argument];
  }
  Group group;
  for (auto [argument, bits] : ones)
    if (bits != 0) group.push_back({argument, bits, bits});
  return group;
}

std::vector<Group> rest_of(const Group& group) {
  std::vector<Group> rest;
  Group so_far;
  for (const Compare& one : group) {
    Compare upper{one.argument, 0, 0};  // the bits looked at already, which are as they should be
    for (std::uint64_t left = one.mask; left != 0; left &= left - 1) {
      const std::uint64_t bit = left & (~left + 1);
      Group other = so_far;
      other.push_back({one.argument, upper.mask | bit, upper.value | (~one.value & bit)});
      rest.push_back(std::move(other));
      upper.mask |= bit;
      upper.value |= one.value & bit;
    }
    so_far.push_back(one);
  }
  return rest;
}

bool has_listener(const Json& config) {
  auto part = config.find("linux");
  if (part == config.end() || !part->is_object()) return false;
  auto profile = part->find("seccomp");
  return profile != part->end() && profile->is_object() &&
         !text_in(*profile, "listenerPath").empty();
}

std::vector<std::string> watch_profile(Json& profile, const Watch& wanted) {
  auto left = Editor(profile, wanted).edit();
  if (!wanted.listener.empty()) profile["listenerPath"] = wanted.listener;
  if (!wanted.metadata.empty()) profile["listenerMetadata"] = wanted.metadata;
  if (wanted.killable) add_flag(profile);
  return left;
}

std::vector<std::string> watch(Json& config, const Watch& wanted) {
  if (!config.contains("linux") || !config["linux"].is_object()) config["linux"] = Json::object();
  Json& profile = config["linux"]["seccomp"];
  if (!profile.is_object())
    profile = {{"defaultAction", "SCMP_ACT_ALLOW"}, {"architectures", kArchitectures}};
  return watch_profile(profile, wanted);
}

}  // namespace oci
