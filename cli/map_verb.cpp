#include "cli/map_verb.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/config_verb.hpp"
#include "cli/planning.hpp"
#include "cli/table.hpp"
#include "config/toml.hpp"
#include "daemon/identities.hpp"
#include "identity/id_list.hpp"

namespace cli {
namespace {

using identity::Id;
using identity::kNoId;
using identity::LiveSlots;
using identity::Pool;
using Json = nlohmann::json;
using State = MappedId::State;

struct Asked {
  std::shared_ptr<config::Sources> sources;
  std::vector<std::string> ids, slots;
  bool gid = false, json = false;
};

struct Side {
  const Pool& pool;
  LiveSlots slots;
  identity::Rule rule;
  const char* kind;
};

constexpr std::string_view kStates[] = {"itself", "assigned", "planned", "none"};

Json or_null(Id id) {
  return id == kNoId ? Json(nullptr) : Json(id);
}

Json as_json(const MappedId& one) {
  return {{"id", one.true_id},
          {"hash_slot", one.hash_slot},
          {"slot", or_null(one.slot)},
          {"state", kStates[static_cast<std::size_t>(one.state)]},
          {"first_choice", one.first_choice},
          {"shown", one.shown},
          {"taken_by", or_null(one.taken_by)},
          {"same_hash", one.same_hash}};
}

std::string note_of(const MappedId& one) {
  std::string note;
  switch (one.state) {
    case State::itself: note = "an id of the pool"; break;
    case State::assigned: note = "assigned"; break;
    case State::planned: note = "not assigned yet; would be this"; break;
    case State::none: note = "no slot: files show nobody, and no process can have it"; break;
  }
  if (one.true_id == identity::kNobody && one.state == State::itself) note = "nobody";
  if (one.taken_by != kNoId)
    note += "; first choice belongs to " + std::to_string(one.taken_by);
  else if (!one.first_choice)
    note += "; first choice is not in the window";
  if (!one.same_hash.empty())
    note += "; same hash slot: " + identity::format_id_list(one.same_hash);
  if (one.state == State::planned && one.shown == one.true_id && one.slot != one.true_id)
    note += "; itself until it is planned";
  return note;
}

std::string id_or_dash(Id id) {
  return id == kNoId ? "-" : std::to_string(id);
}

std::string text_of(const std::vector<MappedId>& all, const char* kind) {
  Table table({kind, "hash slot", "slot", "<"});
  for (const MappedId& one : all)
    table.add({std::to_string(one.true_id), std::to_string(one.hash_slot), id_or_dash(one.slot),
               note_of(one)});
  return table.text();
}

// The inverse: whose is a slot?
struct SlotOwner {
  Id slot = 0;
  Id true_id = kNoId;  // kNoId: see `what`
  std::string what;
};

SlotOwner owner_of(const Side& side, Id slot) {
  const LiveSlots& slots = side.slots;
  if (!side.pool.contains(slot)) return {slot, kNoId, "not an id of the pool"};
  if (side.pool.is_full()) return {slot, slot, "itself"};
  if (slot == slots.nobody_id() && side.pool.size() > 1)
    return {slot, identity::kNobody, "nobody, and all ids without a slot"};
  if (Id owner = slots.owner_of(slot); owner != kNoId) return {slot, owner, "assigned"};
  if (slots.can_be_given(slot) && slot != 0)
    return {slot, kNoId, "free: itself if a process has it, or whoever is given it first"};
  return {slot, slot, "itself, and never anybody else"};
}

int print(const Json& json) {
  std::fputs((json.dump(2) + "\n").c_str(), stdout);
  return std::fflush(stdout) == 0 ? kDone : kFailed;
}

int show_owners(const Side& side, const std::vector<Id>& slots, bool as_json_text) {
  Table table({"slot", side.kind, "<"});
  Json list = Json::array();
  for (Id slot : slots) {
    SlotOwner owner = owner_of(side, slot);
    table.add({std::to_string(slot), id_or_dash(owner.true_id), owner.what});
    list.push_back({{"slot", slot}, {"id", or_null(owner.true_id)}, {"note", owner.what}});
  }
  if (as_json_text) return print({{"kind", side.kind}, {"slots", list}});
  std::fputs(table.text().c_str(), stdout);
  return std::fflush(stdout) == 0 ? kDone : kFailed;
}

int show_ids(const Side& side, std::vector<Id> ids, bool as_json_text) {
  if (ids.empty())
    for (const LiveSlots::Assignment& one : side.slots.assignments()) ids.push_back(one.true_id);
  std::vector<MappedId> all;
  for (Id id : ids) all.push_back(look_up(side.pool, side.slots, side.rule, id));
  if (as_json_text) {
    Json list = Json::array();
    for (const MappedId& one : all) list.push_back(as_json(one));
    return print({{"kind", side.kind},
                  {"free", side.slots.free_slots()},
                  {"full_map", side.pool.is_full()},
                  {"ids", list}});
  }
  std::string text = text_of(all, side.kind);
  if (all.empty()) text = std::string("no ") + side.kind + " has a slot of the window yet\n";
  std::fputs(text.c_str(), stdout);
  return std::fflush(stdout) == 0 ? kDone : kFailed;
}

base::Checked<std::vector<Id>> parse_all(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += word + " ";
  return identity::parse_id_list(text);
}

int map(const Asked& asked) {
  auto ids = parse_all(asked.ids), slots = parse_all(asked.slots);
  if (!ids) return complain(ids.error().message, kUsage);
  if (!slots) return complain(slots.error().message, kUsage);
  auto config = config::load_config(*asked.sources);
  if (!config) return complain(config.error().message);
  if (auto entered = enter_pool(); !entered) return complain(entered.error().message);
  auto known = serving::Identities::of_this_process(*config, serving::SlotUse::look);
  if (!known) return complain(known.error().message);
  if (!known->agreed)
    complain("XDG_RUNTIME_DIR is not a private directory: what others have assigned is not known");
  const Side side{asked.gid ? known->gids : known->uids,
                  (asked.gid ? known->gid_slots : known->uid_slots)->trial(), config::rule(*config),
                  asked.gid ? "gid" : "uid"};
  if (!slots->empty()) return show_owners(side, *slots, asked.json);
  return show_ids(side, std::move(*ids), asked.json);
}

// As LiveSlots::present() would, which assigns.
Id shown_on_files(const Pool& pool, const LiveSlots& slots, const MappedId& one, Id first) {
  bool share = slots.collisions() == identity::Collisions::share;
  bool native = slots.collisions() == identity::Collisions::native && first == one.true_id &&
                one.true_id != slots.nobody_id();
  if (one.state == State::planned && native) return one.true_id;
  if (one.state != State::none) return one.slot;
  return share && first != 0 && pool.contains(first) ? first : slots.nobody_id();
}

}  // namespace

MappedId look_up(const Pool& pool, const LiveSlots& slots, identity::Rule rule, Id true_id) {
  MappedId one;
  one.true_id = true_id;
  one.hash_slot = pool.is_full() ? true_id
                  : pool.hash_range().size == 0
                      ? 0
                      : identity::hash_slot(true_id, pool.hash_range(), rule);
  LiveSlots::Choice choice = slots.would_claim(true_id);
  one.slot = choice.slot;
  one.first_choice = choice.first_choice;
  bool in_table = choice.slot != kNoId && slots.owner_of(choice.slot) == true_id;
  one.state = choice.slot == kNoId ? State::none
              : choice.is_new      ? State::planned
              : in_table           ? State::assigned
                                   : State::itself;
  Id first = pool.contains(true_id) ? true_id : one.hash_slot;
  if (Id owner = slots.owner_of(first); owner != true_id) one.taken_by = owner;
  for (const LiveSlots::Assignment& other : slots.assignments())
    if (other.true_id != true_id && !pool.is_full() &&
        identity::hash_slot(other.true_id, pool.hash_range(), rule) == one.hash_slot)
      one.same_hash.push_back(other.true_id);
  one.shown = shown_on_files(pool, slots, one, first);
  return one;
}

Action prepare_map(CLI::App& options) {
  auto asked = std::make_shared<Asked>();
  asked->sources = add_set_option(options);
  options.add_option("ids", asked->ids, "ids and ranges: 60000 70000-70010; default: all assigned")
      ->type_name("ID");
  options.add_option("--slot", asked->slots, "the reverse: who has these ids of the pool")
      ->type_name("ID")
      ->expected(1)
      ->take_all();
  options.add_flag("--gid", asked->gid, "gids instead of uids");
  options.add_flag("--json", asked->json, "the answer as JSON");
  options.footer(
      "The hash slot is what a file of the id is owned by on the disk, on every node. The slot is "
      "what the id is in this pool's namespace: nobody else's, and the same as long as anybody "
      "uses the pool. A plain user looks at podman's user namespace, or at one with the same ids.");
  return [asked] { return map(*asked); };
}

}  // namespace cli
