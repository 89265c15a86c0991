#include "runtime/nest.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "identity/owner_record.hpp"
#include "runtime/entered.hpp"
#include "runtime/spec.hpp"

namespace oci {
namespace {

Json mappings(std::span<const identity::Extent> extents) {
  Json list = Json::array();
  for (const identity::Extent& extent : extents)
    list.push_back(
        {{"containerID", extent.inside}, {"hostID", extent.outside}, {"size", extent.count}});
  return list;
}

Json& part(Json& object, const char* key, const Json& otherwise) {
  if (!object.contains(key) || object[key].is_null()) object[key] = otherwise;
  return object[key];
}

bool is_text(const Json& object, const char* key, std::string_view value) {
  if (!object.is_object()) return false;
  auto found = object.find(key);
  return found != object.end() && found->is_string() &&
         found->get_ref<const std::string&>() == value;
}

/// One bundle on its way.
class Editor {
 public:
  Editor(Json& config, const Nesting& nesting) : config_(config), nesting_(nesting) {
    for (const Json& one :
         part(part(config_, "linux", Json::object()), "namespaces", Json::array()))
      if (one.is_object() && one.value("type", Json()).is_string()) has_.insert(one["type"]);
  }

  base::Checked<Edited> edit() {
    TRY_VOID(edit_mounts());
    take_settings();
    leave_names();
    set_users();
    annotate();
    return std::move(done_);
  }

 private:
  // Of a namespace that is not the container's own, new or by its user namespace, the kernel lets
  // nobody inside mount or set anything.
  bool foreign(const char* type) const {
    return !has_.contains(type) || nesting_.foreign.contains(type);
  }
  bool inherited(const char* type) const { return !has_.contains(type); }

  base::Checked<base::Unit> edit_mounts() {
    Json& mounts = part(config_, "mounts", Json::array());
    Json kept = Json::array();
    for (Json& mount : mounts) {
      TRY(keep, edit_mount(mount));
      if (keep) kept.push_back(std::move(mount));
    }
    mounts = std::move(kept);
    return base::Unit{};
  }

  base::Checked<bool> edit_mount(Json& mount) {
    if (is_text(mount, "type", "sysfs") && foreign("network")) bind(mount, "/sys");
    if (is_text(mount, "type", "mqueue") && foreign("ipc")) {
      done_.notes.push_back("mqueue left out");
      return false;
    }
    if (is_text(mount, "type", "proc") && foreign("pid")) {
      if (!inherited("pid"))
        return base::refuse(
            "the container joins a pid namespace whose owner is not the user namespace that it "
            "gets, and the kernel mounts no /proc of it there: leave --pid or the shared pid "
            "namespace away, or start the other container by this runtime and with all ids that "
            "this one needs (setting runtime.ids, annotation org.usernetes.identity.ids)");
      bind(mount, "/proc");
    }
    if (is_text(mount, "type", "devpts")) drop_unmapped_gid(mount);
    return true;
  }

  // What the engines themselves do for the host's network or processes. With all that is mounted
  // below it: in a nested namespace the kernel gives no part of it alone.
  void bind(Json& mount, const char* source) {
    Json options = Json::array({"rbind", "rprivate"});
    if (auto given = mount.find("options"); given != mount.end() && given->is_array())
      for (const Json& option : *given) options.push_back(option);
    mount["type"] = "bind";
    mount["source"] = source;
    mount["options"] = std::move(options);
    done_.notes.push_back(std::string(source) + " bound");
  }

  void drop_unmapped_gid(Json& mount) {
    auto given = mount.find("options");
    if (given == mount.end() || !given->is_array()) return;
    Json kept = Json::array();
    for (const Json& option : *given) {
      std::string word = option.is_string() ? option.get<std::string>() : "";
      auto gid = word.starts_with("gid=") ? identity::parse_id(std::string_view(word).substr(4))
                                          : base::Result<identity::Id>(base::fail(EINVAL));
      if (gid && !maps(*gid)) {
        done_.notes.push_back("devpts without " + word);
        continue;
      }
      kept.push_back(option);
    }
    *given = std::move(kept);
  }

  bool maps(identity::Id gid) const {
    return std::any_of(nesting_.gids.begin(), nesting_.gids.end(),
                       [gid](const auto& extent) { return gid - extent.inside < extent.count; });
  }

  static std::optional<std::string> type_of(std::string_view name) {
    constexpr std::array<std::string_view, 4> kIpc = {"kernel.msg", "kernel.sem", "kernel.shm",
                                                      "fs.mqueue."};
    if (name.starts_with("net.")) return "network";
    if (name == "kernel.domainname" || name == "kernel.hostname") return "uts";
    for (std::string_view start : kIpc)
      if (name.starts_with(start)) return "ipc";
    return std::nullopt;
  }

  // Those of the host's own namespaces the runtime refuses, in its own words.
  void take_settings() {
    Json& linux_part = config_["linux"];
    if (!linux_part.contains("sysctl") || !linux_part["sysctl"].is_object()) return;
    Json& all = linux_part["sysctl"];
    for (auto at = all.begin(); at != all.end();) {
      auto type = type_of(at.key());
      if (!type || !nesting_.foreign.contains(*type) || !at->is_string()) {
        ++at;
        continue;
      }
      done_.settings.push_back({at.key(), at->get<std::string>(), *type});
      at = all.erase(at);
    }
  }

  // The sandbox has set them already.
  void leave_names() {
    if (!nesting_.foreign.contains("uts")) return;
    for (const char* key : {"hostname", "domainname"})
      if (config_.erase(key) > 0) done_.notes.push_back(std::string(key) + " left as it is");
  }

  void set_users() {
    Json& linux_part = config_["linux"];
    Json& namespaces = linux_part["namespaces"];
    Json kept = Json::array();
    Json users = {{"type", "user"}};
    if (!nesting_.join.empty()) users["path"] = nesting_.join;
    kept.push_back(std::move(users));
    for (Json& one : namespaces) {
      if (is_text(one, "type", "user")) continue;
      if (is_entered(one)) continue;
      kept.push_back(std::move(one));
    }
    namespaces = std::move(kept);
    // runc wants them with a path as well, and newer ones compare.
    linux_part["uidMappings"] = mappings(nesting_.uids);
    linux_part["gidMappings"] = mappings(nesting_.gids);
  }

  bool is_entered(const Json& one) {
    std::string type = one.value("type", "");
    if (!nesting_.entered.contains(type)) return false;
    entered_[type] = one.value("path", "");
    return true;
  }

  void annotate() {
    Json& notes = part(config_, "annotations", Json::object());
    if (!entered_.empty()) notes[kEnteredAnnotation] = json_text(entered_);
    notes[kModeAnnotation] = "map";
    notes[kMapsAnnotation] = maps_mark(config_["linux"]);
  }

  Json& config_;
  const Nesting& nesting_;
  std::set<std::string> has_;
  Json entered_ = Json::object();
  Edited done_;
};

void put_id(Json& value, IdPairs pairs) {
  if (!value.is_number_unsigned()) return;
  for (auto [id, other] : pairs)
    if (value == id) {
      value = other;
      return;
    }
}

// "uid=60000" of a tmpfs or devpts.
void put_option(Json& option, IdPairs uids, IdPairs gids) {
  if (!option.is_string()) return;
  const auto word = option.get<std::string>();
  const bool uid = word.starts_with("uid=");
  if (!uid && !word.starts_with("gid=")) return;
  auto id = identity::parse_id(std::string_view(word).substr(4));
  for (auto [from, to] : uid ? uids : gids)
    if (id && from == *id) option = word.substr(0, 4) + std::to_string(to);
}

}  // namespace

base::Checked<Edited> nest(Json& config, const Nesting& nesting) {
  return Editor(config, nesting).edit();
}

void put_ids(Json& process, IdPairs uids, IdPairs gids, bool user_as_well) {
  if (!process.is_object() || !process.contains("user") || !process["user"].is_object()) return;
  Json& user = process["user"];
  if (user_as_well && user.contains("uid")) put_id(user["uid"], uids);
  if (user_as_well && user.contains("gid")) put_id(user["gid"], gids);
  if (user.contains("additionalGids") && user["additionalGids"].is_array())
    for (Json& gid : user["additionalGids"]) put_id(gid, gids);
}

void put_slots(Json& config, IdPairs uids, IdPairs gids, Sets process) {
  if (process != Sets::nothing && config.contains("process"))
    put_ids(config["process"], uids, gids, process == Sets::all);
  if (!config.contains("mounts") || !config["mounts"].is_array()) return;
  for (Json& mount : config["mounts"]) {
    if (!is_text(mount, "type", "tmpfs") && !is_text(mount, "type", "devpts")) continue;
    auto options = mount.find("options");
    if (options == mount.end() || !options->is_array()) continue;
    for (Json& option : *options) put_option(option, uids, gids);
  }
}

}  // namespace oci
