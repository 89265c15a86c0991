// Fuzzes: owner records as they lie in xattrs, uid_map texts, and the live slots built upon them.
#include <cstdlib>
#include <string_view>
#include <vector>

#include "identity/id_plan.hpp"
#include "identity/live_slots.hpp"
#include "identity/owner_record.hpp"
#include "identity/pool.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void records(std::string_view text) {
  if (auto const id = identity::parse_id(text)) require(identity::format_id(*id) == text);
  if (auto const stat = identity::parse_override_stat(text)) {
    require(stat->mode <= 07777);
    auto const again = identity::parse_override_stat(identity::format_override_stat(*stat));
    require(again && *again == *stat);
  }
  if (auto const device = identity::parse_device(text)) {
    auto const again = identity::parse_device(identity::format_device(*device));
    require(again && *again == *device);
  }
  (void)identity::parse_rootlesscontainers(text);
  (void)identity::is_internal_xattr(text);
}

identity::Id take_id(std::string_view bytes) {
  identity::Id id = 0;
  for (int i = 0; i < 4; ++i) id = id << 8 | static_cast<unsigned char>(bytes[i]);
  return id;
}

void plan(identity::Pool const& pool, identity::LiveSlots& live, std::string_view ids) {
  std::vector<identity::Id> wanted;
  for (; ids.size() >= 4; ids.remove_prefix(4)) wanted.push_back(take_id(ids));
  identity::IdPlan const plan = identity::plan_ids(pool, live, wanted);
  require(plan.identity || identity::map_text(plan.extents).size() <= identity::kMaxMapBytes);
  require(plan.extents.empty() || identity::Pool::from_extents(plan.extents).has_value());
  for (identity::Id id : wanted)
    require(id == identity::kNoId || plan.maps(id) || !plan.left_out.empty());
  for (auto const& row : plan.rows) require(live.present(row.true_id) == row.slot);
}

void slots(std::string_view map, std::string_view ids) {
  auto pool = identity::Pool::parse(map);
  if (!pool) return require(!pool.error().message.empty());
  identity::HashRange const range = pool->hash_range();
  for (auto collisions : {identity::Collisions::native, identity::Collisions::separate,
                          identity::Collisions::share}) {
    identity::LiveSlots live(*pool, range, identity::Rule::wide, {}, collisions);
    for (auto rest = ids; rest.size() >= 4; rest.remove_prefix(4)) {
      identity::Id const id = take_id(rest);
      identity::Id const slot = live.present(id);
      require(pool->contains(slot));
      bool const own = collisions == identity::Collisions::separate && slot != live.nobody_id();
      require(!own || live.truth(slot) == id);
    }
    plan(*pool, live, ids);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(unsigned char const* data, std::size_t size) {
  std::string_view const text(reinterpret_cast<char const*>(data), size);
  records(text);
  // A map, a NUL, and ids of four bytes each; without the NUL only the map.
  std::size_t const nul = text.find('\0');
  slots(text.substr(0, nul), nul == text.npos ? std::string_view{} : text.substr(nul + 1));
  return 0;
}
