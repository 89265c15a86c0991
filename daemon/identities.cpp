#include "daemon/identities.hpp"

#include <fstream>
#include <sstream>

#include "base/log.hpp"
#include "daemon/slot_journal.hpp"

namespace serving {
namespace {

namespace log = base::log;
using fusefs::Id;

base::Checked<identity::Pool> read_pool(const char* path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  auto pool = identity::Pool::parse(text.str());
  if (!pool) return base::refuse(std::string(path) + ": " + pool.error().message);
  return pool;
}

void log_assignment(const char* kind, const identity::LiveSlots::Assignment& assignment) {
  static log::Limiter limiter(100);  // a container can ask for every slot of the window
  if (assignment.first_choice) return;
  log::limited(limiter, log::Level::info, "identity.second_choice",
               std::string("kind=") + kind + " id=" + std::to_string(assignment.true_id) +
                   " slot=" + std::to_string(assignment.slot));
}

// What must be equal for two processes to share their slots.
std::string describe(const identity::Pool& pool, const config::Config& config) {
  std::string text = std::to_string(config.identity.rule) + config.identity.collisions + " " +
                     std::to_string(config.identity.window_first) + "-" +
                     std::to_string(config.identity.window_last);
  for (const identity::Extent& extent : pool.extents())
    text += " " + std::to_string(extent.inside) + "+" + std::to_string(extent.count);
  return text;
}

// Slots and the journal that their assignments come from and go to.
struct JournalledSlots {
  std::unique_ptr<SlotJournal> journal;
  identity::LiveSlots slots;
};

std::shared_ptr<JournalledSlots> make_slots(const identity::Pool& pool, const char* kind,
                                            const config::Config& config,
                                            SlotUse use = SlotUse::serve) {
  auto both = std::make_shared<JournalledSlots>(
      JournalledSlots{nullptr,
                      {pool, pool.hash_range(), config::rule(config), config::window(config),
                       config::collisions(config)}});
  if (!pool.is_full())
    both->journal = SlotJournal::open(kind, describe(pool, config), both->slots.free_slots(), use);
  both->slots.on_assign([kind](const auto& assignment) { log_assignment(kind, assignment); });
  both->slots.share_through(both->journal.get());
  both->slots.refresh();  // what has been assigned already, by whomever, is known from the start
  return both;
}

std::shared_ptr<identity::LiveSlots> slots_of(std::shared_ptr<JournalledSlots> both) {
  return {both, &both->slots};
}

}  // namespace

base::Checked<Identities> Identities::of_this_process(const config::Config& config, SlotUse use) {
  TRY(uids, read_pool("/proc/self/uid_map"));
  TRY(gids, read_pool("/proc/self/gid_map"));
  auto uid_slots = make_slots(uids, "uid", config, use);
  auto gid_slots = make_slots(gids, "gid", config, use);
  bool agreed = (uid_slots->journal || uids.is_full()) && (gid_slots->journal || gids.is_full());
  return Identities{std::move(uids), std::move(gids), slots_of(std::move(uid_slots)),
                    slots_of(std::move(gid_slots)), agreed};
}

// One kind of id for one mount. A mapping confines the slots to what it can show.
static base::Checked<fusefs::IdMapper> make_mapper(const identity::Pool& pool,
                                                   std::shared_ptr<identity::LiveSlots> slots,
                                                   const std::vector<config::IdMapLine>& lines,
                                                   std::optional<Id> squash, const char* kind,
                                                   const config::Config& config) {
  fusefs::IdMapper::Setup setup;
  setup.range = pool.hash_range();
  setup.rule = config::rule(config);
  setup.squash = squash;
  setup.slots = std::move(slots);
  std::vector<identity::Extent> extents;
  for (const config::IdMapLine& line : lines) {
    setup.mapping.push_back({line.disk, line.shown, line.count});
    extents.push_back({line.disk, line.shown, line.count});
  }
  if (!extents.empty()) {
    auto domain = identity::Pool::from_extents(std::move(extents));
    if (!domain) return base::refuse(std::string(kind) + "mapping: " + domain.error().message);
    identity::Window window = config::window(config);
    for (Id id = window.first; id <= window.last; ++id) setup.foreign_slots &= domain->contains(id);
    setup.slots = slots_of(make_slots(*domain, kind, config));
  }
  return fusefs::IdMapper(std::move(setup));
}

static std::optional<Id> squash_of(const config::MountOptions& options, std::optional<Id> single) {
  if (single) return single;
  if (options.squash_to_root) return Id{0};
  return std::nullopt;
}

base::Checked<fusefs::IdMapper> Identities::uid_mapper(const config::MountOptions& options) const {
  return make_mapper(uids, uid_slots, options.uidmapping, squash_of(options, options.squash_to_uid),
                     "uid", options.config);
}

base::Checked<fusefs::IdMapper> Identities::gid_mapper(const config::MountOptions& options) const {
  return make_mapper(gids, gid_slots, options.gidmapping, squash_of(options, options.squash_to_gid),
                     "gid", options.config);
}

}  // namespace serving
