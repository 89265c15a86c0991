#include "cli/plan_report.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/table.hpp"
#include "identity/id_list.hpp"

namespace cli {
namespace {

using identity::Id;
using identity::IdPlan;
using Json = nlohmann::ordered_json;

constexpr std::size_t kMostLeftOut = 100;  // lines of the text; JSON has all
constexpr std::size_t kMostMapLines = 12;  // of a map in the text; --uid-map shows all

// One kind of ids: what was found, what became of it, of which pool.
struct Side {
  const char* kind;
  const images::Found& found;
  const IdPlan& plan;
  const identity::Pool& pool;
  identity::Rule rule;
  identity::Window window;

  Id preferred(Id id) const {
    return pool.contains(id) ? id : identity::hash_slot(id, pool.hash_range(), rule);
  }
  // Whose `slot` is in this plan.
  std::optional<Id> holder(Id slot) const {
    for (const IdPlan::Row& row : plan.rows)
      if (row.slot == slot) return row.true_id;
    return std::nullopt;
  }
  const images::Found::Fact* fact(Id id) const {
    auto known = found.facts().find(id);
    return known == found.facts().end() ? nullptr : &known->second;
  }
};

Side uids_of(const PlanReport& report) {
  return {"uid", report.found.uids, report.planned.uids, report.uids, report.rule, report.window};
}
Side gids_of(const PlanReport& report) {
  return {"gid", report.found.gids, report.planned.gids, report.gids, report.rule, report.window};
}

std::string first_choice(const Side& side, const IdPlan::Row& row) {
  if (row.slot == row.true_id) return "itself";
  if (row.first_choice) return "first choice";
  const Id wanted = side.preferred(row.true_id);
  auto holder = side.holder(wanted);
  const std::string slot = std::to_string(wanted);
  if (holder) return "not " + slot + ", which is " + std::to_string(*holder) + "'s";
  if (wanted < side.window.first || wanted > side.window.last)
    return "not " + slot + ", which is outside the window";
  return "not " + slot + ", which another has (map --slot " + slot + ")";
}

std::string origin_of(const images::Found::Fact* fact) {
  if (!fact) return "always";
  const std::string times = fact->count > 1 ? " (" + std::to_string(fact->count) + " times)" : "";
  return printable(fact->origin) + times;
}

std::string needed_for(const images::Found::Fact* fact) {
  return std::string(fact ? images::word(fact->weight) : "every container");
}

std::string range(Id first, std::size_t count) {
  if (count == 1) return std::to_string(first);
  return std::to_string(first) + "-" + std::to_string(first + count - 1);
}

// How many ids from `items[at]` on follow each other and are told of in the same words.
template <class Item, class Same>
std::size_t run_of(const std::vector<Item>& items, std::size_t at, Same&& same) {
  std::size_t count = 1;
  while (at + count < items.size() && items[at + count].true_id == items[at].true_id + count &&
         same(items[at], items[at + count], count))
    ++count;
  return count;
}

std::string rows_text(const Side& side) {
  Table table({std::string(side.kind), "SLOT", "<CHOICE", "<NEEDED FOR", "<FOUND"});
  const auto& rows = side.plan.rows;
  for (std::size_t i = 0; i < rows.size();) {
    const auto* fact = side.fact(rows[i].true_id);
    const std::string choice = first_choice(side, rows[i]), origin = origin_of(fact);
    const std::size_t count = run_of(rows, i, [&](const auto& one, const auto& other, auto ahead) {
      const auto* next = side.fact(other.true_id);
      return other.slot == one.slot + ahead && first_choice(side, other) == choice &&
             needed_for(next) == needed_for(fact) && origin_of(next) == origin;
    });
    table.add({range(rows[i].true_id, count), range(rows[i].slot, count), choice, needed_for(fact),
               origin});
    i += count;
  }
  return table.empty() ? "" : table.text() + "\n";
}

std::string left_out_text(const Side& side) {
  const auto& left_out = side.plan.left_out;
  if (left_out.empty()) return "";
  Table table({std::string(side.kind) + " NOT MAPPED", "<WHY", "<NEEDED FOR", "<FOUND"});
  std::size_t i = 0;
  for (std::size_t lines = 0; i < left_out.size() && lines < kMostLeftOut; ++lines) {
    const auto* fact = side.fact(left_out[i].true_id);
    const std::string origin = origin_of(fact);
    const std::size_t count = run_of(left_out, i, [&](const auto& one, const auto& other, auto) {
      const auto* next = side.fact(other.true_id);
      return other.why == one.why && needed_for(next) == needed_for(fact) &&
             origin_of(next) == origin;
    });
    table.add({range(left_out[i].true_id, count), identity::reason(left_out[i].why),
               needed_for(fact), origin});
    i += count;
  }
  std::string more;
  if (i < left_out.size())
    more = "and " + std::to_string(left_out.size() - i) + " more, which --json lists. ";
  return table.text() + more +
         "No process can be one of these; their files are seen as nobody's.\n\n";
}

std::string map_lines(const Side& side) {
  const std::string text = identity::map_text(side.plan.extents);
  std::string out = std::string(side.kind) + " map, " + std::to_string(side.plan.extents.size()) +
                    (side.plan.extents.size() == 1 ? " line, " : " lines, ") +
                    std::to_string(text.size()) + " bytes:\n";
  std::size_t at = 0;
  for (std::size_t i = 0; i < kMostMapLines && at < text.size(); ++i) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    out += "  " + text.substr(at, end - at) + "\n";
    at = end + 1;
  }
  if (at < text.size()) out += "  … (all of it: --" + std::string(side.kind) + "-map)\n";
  return out;
}

std::string sources_text(const PlanReport& report) {
  std::string out;
  for (const PlanReport::Source& source : report.sources) {
    out += printable(source.name) + ": " + source.kind;
    if (source.layers != 1 || source.from_cache > 0)
      out += ", " + std::to_string(source.layers) + (source.layers == 1 ? " layer" : " layers");
    if (source.from_cache > 0) out += ", " + std::to_string(source.from_cache) + " remembered";
    out += "\n";
  }
  return out.empty() ? "" : out + "\n";
}

std::string notes_text(const PlanReport& report) {
  std::string out;
  for (const std::string& note : report.found.notes) out += "note: " + printable(note) + "\n";
  const std::uint64_t dropped = report.found.uids.dropped() + report.found.gids.dropped();
  if (dropped > 0)
    out += "note: " + std::to_string(dropped) +
           " findings were passed over: more than 65536 different ids\n";
  if (!report.planned.agreed)
    out += "note: $XDG_RUNTIME_DIR can not be used, so slots are not agreed on with others\n";
  return out.empty() ? "" : out + "\n";
}

Json side_json(const Side& side) {
  Json rows = Json::array(), left_out = Json::array(), map = Json::array();
  auto put_fact = [&](Json& entry, Id id) {
    const auto* fact = side.fact(id);
    entry["needed_for"] = fact ? images::word(fact->weight) : "every container";
    entry["found"] = fact ? fact->origin : "";
    entry["count"] = fact ? fact->count : 0;
  };
  for (const IdPlan::Row& row : side.plan.rows) {
    Json entry = {{"id", row.true_id},
                  {"slot", row.slot},
                  {"first_choice", row.first_choice},
                  {"preferred", side.preferred(row.true_id)}};
    if (auto holder = side.holder(side.preferred(row.true_id)); holder && !row.first_choice)
      entry["preferred_is_of"] = *holder;
    put_fact(entry, row.true_id);
    rows.push_back(std::move(entry));
  }
  for (const IdPlan::Missing& missing : side.plan.left_out) {
    Json entry = {{"id", missing.true_id}, {"why", identity::reason(missing.why)}};
    put_fact(entry, missing.true_id);
    left_out.push_back(std::move(entry));
  }
  for (const identity::Extent& extent : side.plan.extents)
    map.push_back({extent.inside, extent.outside, extent.count});
  return {{"ids", rows}, {"not_mapped", left_out}, {"map", map}};
}

std::string unmapped_of(const Side& side) {
  std::map<identity::LeftOut, std::vector<Id>> asked;
  for (const IdPlan::Missing& missing : side.plan.left_out)
    if (const auto* fact = side.fact(missing.true_id))
      if (fact->weight <= images::Weight::asked) asked[missing.why].push_back(missing.true_id);
  std::string text;
  for (auto& [why, ids] : asked) {
    std::sort(ids.begin(), ids.end());
    std::string list = identity::format_id_list(ids);
    if (list.size() > 200) list = list.substr(0, list.rfind(',', 200)) + ",…";
    text += (text.empty() ? "" : "; ") + std::string(side.kind) + " " + list + " (" +
            identity::reason(why) + ")";
  }
  return text;
}

void add_flags(const char* flag, const IdPlan& plan, std::string& text) {
  for (const identity::Extent& extent : plan.extents)
    text += (text.empty() ? "" : " ") + std::string(flag) + " " + std::to_string(extent.inside) +
            ":" + std::to_string(extent.outside) + ":" + std::to_string(extent.count);
}

}  // namespace

std::string PlanReport::unmapped() const {
  const std::string users = unmapped_of(uids_of(*this)), groups = unmapped_of(gids_of(*this));
  if (users.empty() && groups.empty()) return "";
  return "not mapped, although asked for: " + users +
         (users.empty() || groups.empty() ? "" : "; ") + groups;
}

std::string PlanReport::text() const {
  const Side users = uids_of(*this), groups = gids_of(*this);
  std::string out = sources_text(*this) + rows_text(users) + rows_text(groups) +
                    left_out_text(users) + left_out_text(groups) + notes_text(*this);
  if (planned.uids.identity && planned.gids.identity)
    out += "Every id is itself here: a container needs no map.\n";
  else
    out += map_lines(users) + map_lines(groups);
  if (!annotation.empty())
    out +=
        "\nFor the pod's metadata, so that each of its containers has all of these ids:\n"
        "  annotations:\n    " +
        annotation + "\n";
  return out;
}

std::string PlanReport::json() const {
  Json all = Json::object();
  all["sources"] = Json::array();
  for (const Source& source : sources)
    all["sources"].push_back({{"name", source.name},
                              {"kind", source.kind},
                              {"layers", source.layers},
                              {"remembered", source.from_cache}});
  all["uids"] = side_json(uids_of(*this));
  all["gids"] = side_json(gids_of(*this));
  all["map_needed"] = !(planned.uids.identity && planned.gids.identity);
  all["agreed"] = planned.agreed;
  all["dropped"] = found.uids.dropped() + found.gids.dropped();
  all["notes"] = found.notes;
  if (!annotation.empty()) all["annotation"] = annotation;
  return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string PlanReport::podman() const {
  std::string text;
  add_flags("--uidmap", planned.uids, text);
  add_flags("--gidmap", planned.gids, text);
  return text + "\n";
}

}  // namespace cli
