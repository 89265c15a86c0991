#include "runtime/spec.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/hash.hpp"
#include "identity/owner_record.hpp"

namespace oci {
namespace {

const Json kNothing = Json::object();

bool same_but_for_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(x) == lower(y);
  });
}

// "" for the top, else "process.user": what stands before a key in messages.
std::string dotted(const std::string& where, const std::string& key) {
  return where.empty() ? key : where + "." + key;
}

/// Reads one file; its messages begin with the file's name.
class Reader {
 public:
  explicit Reader(std::string name) : name_(std::move(name)) {}

  tl::unexpected<base::Failure> refuse(const std::string& what) const {
    return base::refuse(name_ + ": " + what);
  }

  /// null stands for a key that is not there, as Go writes it.
  base::Checked<const Json*> get(const Json& object, const char* key, const std::string& where) {
    auto found = member(object, key, where);
    if (!found) return refuse(found.error().message);
    return *found && (*found)->is_null() ? nullptr : *found;
  }

  base::Checked<const Json*> object(const Json& in, const char* key, const std::string& where) {
    TRY(found, get(in, key, where));
    if (found && !found->is_object()) return refuse(dotted(where, key) + " is not an object");
    return found ? found : &kNothing;
  }

  base::Checked<const Json*> array(const Json& in, const char* key, const std::string& where) {
    static const Json none = Json::array();
    TRY(found, get(in, key, where));
    if (found && !found->is_array()) return refuse(dotted(where, key) + " is not a list");
    return found ? found : &none;
  }

  base::Checked<std::string> text(const Json& in, const char* key, const std::string& where) {
    TRY(found, get(in, key, where));
    if (!found) return std::string();
    if (!found->is_string()) return refuse(dotted(where, key) + " is not a text");
    const auto& value = found->get_ref<const std::string&>();
    // For a runtime in C the text ends there.
    if (value.find('\0') != value.npos) return refuse(dotted(where, key) + " has a NUL in it");
    return value;
  }

  base::Checked<Id> id(const Json& value, const std::string& key) {
    if (value.is_number_unsigned()) {
      auto number = value.get<std::uint64_t>();
      if (number < identity::kNoId) return static_cast<Id>(number);
    }
    return refuse(key + " is " + value.dump().substr(0, 40) +
                  "; an id is a whole number from 0 to 4294967294");
  }

  base::Checked<base::Unit> user(const Json& process, const std::string& where, ProcessIds& into) {
    TRY(given, object(process, "user", where));
    std::string at = dotted(where, "user");
    for (auto [key, list] : {std::pair{"uid", &into.uids}, std::pair{"gid", &into.gids}}) {
      TRY(value, get(*given, key, at));
      Must must{0, dotted(at, key)};
      if (value) {
        TRY(number, id(*value, must.key));
        must.id = number;
      }
      list->push_back(std::move(must));
    }
    TRY(groups, array(*given, "additionalGids", at));
    for (std::size_t i = 0; i < groups->size(); ++i) {
      std::string key = at + ".additionalGids[" + std::to_string(i) + "]";
      TRY(number, id((*groups)[i], key));
      into.gids.push_back({number, key});
    }
    return base::Unit{};
  }

  base::Checked<base::Unit> mount(const Json& mount, const std::string& where, Spec& into) {
    if (!mount.is_object()) return refuse(where + " is not an object");
    TRY(type, text(mount, "type", where));
    TRY(options, array(mount, "options", where));
    if (type != "tmpfs" && type != "devpts") return base::Unit{};
    for (const Json& option : *options) {
      if (!option.is_string()) return refuse(where + ".options has something that is no text");
      std::string_view word = option.get_ref<const std::string&>();
      bool uid = word.starts_with("uid=");
      if (!uid && !word.starts_with("gid=")) continue;
      auto number = identity::parse_id(word.substr(4));
      if (!number || *number == identity::kNoId)
        return refuse(where + " (" + type + "): the option " + std::string(word.substr(0, 40)) +
                      " is no id");
      if (type == "devpts" && !uid) into.terminal_gids.push_back(*number);
      if (type == "devpts") continue;
      (uid ? into.uids : into.gids).push_back({*number, where + " (" + type + ")"});
    }
    return base::Unit{};
  }

  base::Checked<base::Unit> namespaces(const Json& config, Spec& into) {
    TRY(part, object(config, "linux", ""));
    TRY(all, array(*part, "namespaces", "linux"));
    for (std::size_t i = 0; i < all->size(); ++i) {
      std::string where = "linux.namespaces[" + std::to_string(i) + "]";
      if (!(*all)[i].is_object()) return refuse(where + " is not an object");
      TRY(type, text((*all)[i], "type", where));
      TRY(path, text((*all)[i], "path", where));
      if (type == "user") into.users = Spec::Users::engine;
      if (type != "user") into.namespaces.push_back({type, path});
    }
    TRY(uids, array(*part, "uidMappings", "linux"));
    TRY(gids, array(*part, "gidMappings", "linux"));
    if (!uids->empty() || !gids->empty()) into.users = Spec::Users::engine;
    return base::Unit{};
  }

  base::Checked<base::Unit> annotations(const Json& config, Spec& into) {
    TRY(notes, object(config, "annotations", ""));
    TRY(ids, text(*notes, kIdsAnnotation, "annotations"));
    TRY(mode, text(*notes, kModeAnnotation, "annotations"));
    TRY(profile, text(*notes, kProfileAnnotation, "annotations"));
    TRY(mark, text(*notes, kMapsAnnotation, "annotations"));
    into.profile = profile;
    into.ids = ids;
    into.mode = mode;
    if (into.users == Spec::Users::engine && !mark.empty() && mark == maps_mark(config["linux"]))
      into.users = Spec::Users::ours;
    for (const char* key :
         {"io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri.container-type"}) {
      TRY(type, text(*notes, key, "annotations"));
      into.sandbox |= type == "sandbox";
    }
    return base::Unit{};
  }

  base::Checked<base::Unit> privileges(const Json& process, Spec& into) {
    TRY(flag, get(process, "noNewPrivileges", "process"));
    into.no_new_privileges = flag && flag->is_boolean() && flag->get<bool>();
    TRY(sets, object(process, "capabilities", "process"));
    TRY(ambient, array(*sets, "ambient", "process.capabilities"));
    into.ambient = !ambient->empty();
    return base::Unit{};
  }

  // podman marks its pause container by nothing but what it runs.
  base::Checked<base::Unit> pause_program(const Json& process, Spec& into) {
    TRY(arguments, array(process, "args", "process"));
    if (arguments->empty() || !arguments->front().is_string()) return base::Unit{};
    std::string_view program = arguments->front().get_ref<const std::string&>();
    program.remove_prefix(std::min(program.size(), program.rfind('/') + 1));
    into.sandbox |= program == "pause" ||
                    (program == "catatonit" && arguments->size() == 2 && (*arguments)[1] == "-P");
    return base::Unit{};
  }

 private:
  std::string name_;
};

}  // namespace

base::Checked<const Json*> member(const Json& object, const char* key, const std::string& where) {
  auto exact = object.find(key);
  for (auto at = object.begin(); at != object.end(); ++at)
    if (at.key() != key && same_but_for_case(at.key(), key))
      return base::refuse(dotted(where, at.key().substr(0, 80)) + ": the key is written " + key);
  return exact == object.end() ? nullptr : &*exact;
}

base::Checked<Spec> read_spec(const Json& config, const std::string& name) {
  Reader reader(name);
  Spec spec;
  TRY(process, reader.object(config, "process", ""));
  ProcessIds ids;
  TRY_VOID(reader.user(*process, "process", ids));
  spec.uids = std::move(ids.uids);
  spec.gids = std::move(ids.gids);
  TRY_VOID(reader.privileges(*process, spec));
  TRY_VOID(reader.pause_program(*process, spec));
  TRY(root, reader.object(config, "root", ""));
  TRY(path, reader.text(*root, "path", "root"));
  spec.root = path;
  TRY(mounts, reader.array(config, "mounts", ""));
  for (std::size_t i = 0; i < mounts->size(); ++i)
    TRY_VOID(reader.mount((*mounts)[i], "mounts[" + std::to_string(i) + "]", spec));
  TRY_VOID(reader.namespaces(config, spec));
  TRY_VOID(reader.annotations(config, spec));
  return spec;
}

base::Checked<ProcessIds> read_process(const Json& process, const std::string& name) {
  ProcessIds ids;
  TRY_VOID(Reader(name).user(process, "", ids));
  return ids;
}

ProcessIds read_user_option(const std::string& user, const std::vector<std::string>& groups) {
  ProcessIds ids;
  std::size_t colon = user.find(':');
  if (auto uid = identity::parse_id(user.substr(0, colon))) ids.uids.push_back({*uid, "--user"});
  if (colon != user.npos)
    if (auto gid = identity::parse_id(user.substr(colon + 1))) ids.gids.push_back({*gid, "--user"});
  for (const std::string& group : groups)
    if (auto gid = identity::parse_id(group)) ids.gids.push_back({*gid, "--additional-gids"});
  return ids;
}

std::string maps_mark(const Json& linux_part) {
  std::string text;
  for (const char* key : {"uidMappings", "gidMappings"})
    if (linux_part.contains(key)) text += linux_part[key].dump() + "\n";
  if (linux_part.contains("namespaces"))
    for (const Json& one : linux_part["namespaces"])
      if (one.is_object() && one.value("type", Json()) == "user") text += one.dump();
  return base::fnv64_hex(text);
}

}  // namespace oci
