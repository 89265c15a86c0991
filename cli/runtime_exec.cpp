#include "cli/runtime_exec.hpp"

#include <nlohmann/json.hpp>

#include "cli/container_filter.hpp"
#include "cli/slot_bundle.hpp"
#include "identity/pool.hpp"
#include "runtime/entered.hpp"
#include "runtime/nest.hpp"
#include "runtime/program.hpp"
#include "runtime/spec.hpp"

namespace cli {
namespace {

using identity::Id;

base::Failure not_there(const oci::Must& must, const char* kind, const std::string& container) {
  std::string id = std::to_string(must.id);
  return {must.key + ": " + kind + " " + id + " is not in the id map of container " +
          container.substr(0, 64) + ", and a map is written once, at the start; " +
          "start the container with the annotation " + oci::kIdsAnnotation + "=" + id +
          ", or put the id into the setting runtime.ids and start it anew"};
}

std::vector<oci::Must> missing_in(const std::vector<oci::Must>& musts, const identity::Pool& map) {
  std::vector<oci::Must> missing;
  for (const oci::Must& must : musts)
    if (!map.contains(must.id)) missing.push_back(must);
  return missing;
}

// By which number the container's map knows the slot.
std::optional<Id> number_of(const identity::Pool& map, Id slot) {
  for (const identity::Extent& extent : map.extents())
    if (slot - extent.outside < extent.count) return extent.inside + (slot - extent.outside);
  return std::nullopt;
}

base::Checked<base::Unit> to_numbers(Slots& slots, const std::vector<oci::Must>& musts,
                                     const identity::Pool& map, const char* kind,
                                     const std::string& container) {
  for (std::size_t i = 0; i < slots.size(); ++i) {
    auto number = number_of(map, slots[i].second);
    if (!number) return tl::unexpected(not_there(musts[i], kind, container));
    slots[i].second = *number;
  }
  return base::Unit{};
}

/// process.json, once read.
struct Process {
  oci::FileText file;
  oci::Json json;
};

base::Checked<base::Unit> write(const std::string& path, Process& process, const SlotIds& ids,
                                bool user) {
  oci::put_ids(process.json, ids.uids, ids.gids, user);
  process.file.text = oci::json_text(process.json);
  return oci::replace_file(path, process.file);
}

base::Checked<base::Unit> into_map(const oci::Invocation& call, const oci::Record& record,
                                   const config::Config& config, const oci::ProcessIds& ids,
                                   std::optional<Process>& process) {
  auto uid_map = identity::Pool::parse(record.uids), gid_map = identity::Pool::parse(record.gids);
  if (!uid_map || !gid_map) return base::Unit{};
  auto uids = missing_in(ids.uids, *uid_map), gids = missing_in(ids.gids, *gid_map);
  if (uids.empty() && gids.empty()) return base::Unit{};
  if (!record.supervised || !process)
    return tl::unexpected(uids.empty() ? not_there(gids.front(), "gid", call.id)
                                       : not_there(uids.front(), "uid", call.id));
  TRY(slots, claim_slots(config, uids, gids));
  TRY_VOID(to_numbers(slots.uids, uids, *uid_map, "uid", call.id));
  TRY_VOID(to_numbers(slots.gids, gids, *gid_map, "gid", call.id));
  return write(call.process, *process, slots, true);
}

// After the filter is loaded the process asks for true ids; under no_new_privs it changes before.
base::Checked<base::Unit> into_slots(const oci::Invocation& call, const config::Config& config,
                                     const oci::ProcessIds& ids, std::optional<Process>& process) {
  if (!process)
    return base::refuse("exec: --user of a container in slot mode: give the process as a file");
  if (process->json.value("noNewPrivileges", oci::Json()) != true) return base::Unit{};
  TRY(slots, claim_slots(config, ids.uids, ids.gids));
  return write(call.process, *process, slots, true);
}

}  // namespace

base::Checked<base::Unit> prepare_exec(const oci::Invocation& call,
                                       const std::optional<oci::Record>& record,
                                       const config::Config& config) {
  if (!record || (record->uids.empty() && record->mode != "slot")) return base::Unit{};
  oci::ProcessIds ids = oci::read_user_option(call.user, call.groups);
  std::optional<Process> process;
  if (!call.process.empty()) {
    TRY(file, oci::read_regular(call.process));
    TRY(json, oci::parse_object(file.text, call.process));
    TRY(of_file, oci::read_process(json, call.process));
    ids = std::move(of_file);
    process = {std::move(file), std::move(json)};
  }
  // If there is none, the runtime will say that it can not reach it.
  if (record->supervised) (void)wake_supervisor(config);
  if (record->mode == "slot") return into_slots(call, config, ids, process);
  return into_map(call, *record, config, ids, process);
}

// Without its record we would put the process into the wrong network, and nobody would notice.
base::Checked<base::Unit> enter_for_exec(const oci::Invocation& call,
                                         const std::optional<oci::Record>& record,
                                         const std::string& program) {
  if (record) return oci::enter(record->entered);
  if (!oci::joins_in_any_order(program) && oci::was_entered(program, call.root, call.id))
    return base::refuse(
        "exec: the record of container " + call.id.substr(0, 64) +
        " is not in $XDG_RUNTIME_DIR/usernetes-identity/containers; it says which "
        "network the process has to be in. Call with the XDG_RUNTIME_DIR of create, "
        "or start the container anew");
  return base::Unit{};
}

}  // namespace cli
