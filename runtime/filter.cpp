#include "runtime/filter.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
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

// --- the complement ------------------------------------------------------------------------------

const Compare* on(const Group& group, unsigned argument) {
  for (const Compare& one : group)
    if (one.argument == argument) return &one;
  return nullptr;
}

// Halves the values of one argument after the other, bit by bit, and keeps what no group takes.
class Complement {
 public:
  explicit Complement(const std::vector<Group>& any) : any_(any) {
    for (const Group& group : any)
      for (const Compare& one : group) masks_[one.argument] |= one.mask;
  }
  std::vector<Group> make() {
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < any_.size(); ++i) all.push_back(i);
    split(masks_.begin(), all, {});
    return std::move(found_);
  }

 private:
  using At = std::map<unsigned, std::uint64_t>::const_iterator;

  void split(At argument, const std::vector<std::size_t>& alive, const Group& fixed) {
    if (alive.empty()) {
      found_.push_back(fixed);
      return;
    }
    if (argument != masks_.end()) descend(argument, alive, fixed, {argument->first, 0, 0});
  }

  void descend(At argument, const std::vector<std::size_t>& alive, const Group& fixed,
               const Compare& so_far) {
    const std::uint64_t left = argument->second & ~so_far.mask;
    Group with = fixed;
    if (so_far.mask != 0) with.push_back(so_far);
    if (alive.empty() || left == 0) {
      split(std::next(argument), alive, with);
      return;
    }
    // A bit that no group asks for any more decides nothing.
    std::uint64_t asked = 0;
    for (std::size_t i : alive)
      if (const Compare* one = on(any_[i], argument->first)) asked |= one->mask & left;
    if (asked == 0) {
      split(std::next(argument), alive, with);
      return;
    }
    const std::uint64_t bit = std::uint64_t{1} << std::countr_zero(asked);
    for (std::uint64_t value : {std::uint64_t{0}, bit}) {
      std::vector<std::size_t> still;
      for (std::size_t i : alive) {
        const Compare* one = on(any_[i], argument->first);
        if (!one || !(one->mask & bit) || (one->value & bit) == value) still.push_back(i);
      }
      descend(argument, still, fixed, {argument->first, so_far.mask | bit, so_far.value | value});
    }
  }

  const std::vector<Group>& any_;
  std::map<unsigned, std::uint64_t> masks_;
  std::vector<Group> found_;
};

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
      if (!mine->second->absent && mine->second->when.empty()) {
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
    for (const Group& group : call.when) {
      rules_.push_back(copy(rule, {call.name}, "SCMP_ACT_NOTIFY"));
      rules_.back()["args"] = arguments_of(group);
    }
    for (const Group& group : none_of(call.when)) {
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

std::vector<Group> none_of(const std::vector<Group>& any) {
  return Complement(any).make();
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
