#include <linux/capability.h>

#include "seccomp/calls.hpp"
#include "seccomp/translate.hpp"

namespace seccomp {
namespace {

const Credentials::Four& four_of(const Call& call, const Credentials& credentials) {
  return call.row->ids == Ids::uids ? credentials.uids : credentials.gids;
}
// Whether the task is nobody else than the ids it asks for, so that nothing would change.
bool is_all_of(const Call& call) {
  const auto credentials = call.supervisor.tracees().credentials(call.notice.tid);
  if (!credentials) return false;
  const Credentials::Four& four = four_of(call, *credentials);
  const Id one = four.real;
  bool all = four == Credentials::Four{one, one, one, one};
  for (unsigned i = 0; i < call.row->count; ++i)
    if (const Id id = id_at(call, i); id != kNoId)
      all &= ids_of(call, call.row->ids).truth_of_slot(one) == id;
  return all;
}
int capability_of(const Call& call) {
  return call.row->ids == Ids::uids ? CAP_SETUID : CAP_SETGID;
}

ring::Task<std::int64_t> truth_of_result(Call call, std::int64_t result) {
  co_return ids_of(call, call.row->ids).truth_of_carrier(static_cast<Id>(result));
}

// getresuid has three pointers, which need not be neighbours.
struct Three {
  std::array<Id, 3> ids;
};

ring::Task<std::int64_t> write_three(Call call, Three three, std::int64_t result) {
  if (result < 0) co_return result;
  std::vector<Tracees::Piece> pieces;
  for (std::size_t i = 0; i < three.ids.size(); ++i)
    pieces.push_back({call.notice.arguments[i], std::as_bytes(std::span(&three.ids[i], 1))});
  Tracees& tracees = call.supervisor.tracees();
  auto writing = tracees.write_each(call.notice.tid, std::move(pieces), call.still_valid);
  auto written = co_await std::move(writing);
  co_return written ? result : -written.error().value;
}

}  // namespace

Answer on_get_id(Call& call) {
  const IdView& ids = ids_of(call, call.row->ids);
  const auto credentials = call.supervisor.tracees().credentials(call.notice.tid);
  if (!credentials) return unseen(call);
  const Credentials::Four& four = four_of(call, *credentials);
  return Answer::value(ids.truth_of_slot(call.row->effective ? four.effective : four.real));
}

ring::Task<Answer> on_get_three(Call call) {
  const IdView& ids = ids_of(call, call.row->ids);
  const auto credentials = call.supervisor.tracees().credentials(call.notice.tid);
  if (!credentials) co_return unseen(call);
  const Credentials::Four& four = four_of(call, *credentials);
  const std::array slots{four.real, four.effective, four.saved};
  Three three{};
  bool differs = false;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    three.ids[i] = ids.truth_of_slot(slots[i]);
    differs |= three.ids[i] != ids.shown(slots[i]);
  }
  if (!differs) co_return Answer::resume();
  if (!call.killable) {
    Rerun rerun;
    rerun.after = [call, three](std::int64_t result) { return write_three(call, three, result); };
    Answer answer = co_await call.supervisor.run_again(call, std::move(rerun), kTraced);
    if (answer != kTraced) co_return answer;
  }
  if (call.still_valid && !call.still_valid()) co_return Answer::silence();
  const std::int64_t result = co_await write_three(call, three, 0);
  co_return result < 0 ? Answer::fail(static_cast<int>(-result)) : Answer::value(0);
}

ring::Task<Answer> on_set_id(Call call) {
  Rerun rerun;
  bool differs = false;
  for (unsigned i = 0; i < call.row->count; ++i) {
    const Id id = id_at(call, i);
    if (id == kNoId) continue;  // leaves it as it is; setuid(-1) is the kernel's to refuse
    const auto carrier = carrier_for(call, call.row->ids, id, capability_of(call));
    if (!carrier) co_return Answer::fail(carrier.error().value);
    if (*carrier == kNoId) co_return Answer::fail(EINVAL);
    if (*carrier == id) continue;
    rerun.arguments[i] = *carrier;
    differs = true;
  }
  if (!differs) co_return Answer::resume();
  const Answer otherwise = is_all_of(call) ? Answer::value(0) : Answer::fail(EPERM);
  co_return co_await call.supervisor.run_again(call, std::move(rerun), otherwise);
}

// Never fails: it tells the id before, and who wants to know whether it worked calls it again.
ring::Task<Answer> on_set_fs_id(Call call) {
  const IdView& ids = ids_of(call, call.row->ids);
  const auto credentials = call.supervisor.tracees().credentials(call.notice.tid);
  if (!credentials) co_return unseen(call);
  const Id slot = four_of(call, *credentials).file_system;
  const Id before = ids.truth_of_slot(slot), wanted = id_at(call, 0);
  const Answer unchanged = Answer::value(before);
  if (wanted == kNoId || wanted == before) co_return unchanged;
  const auto carrier = carrier_for(call, call.row->ids, wanted, capability_of(call));
  if (!carrier || *carrier == kNoId) co_return unchanged;
  if (*carrier == wanted && before == ids.shown(slot)) co_return Answer::resume();
  Rerun rerun;
  rerun.arguments[0] = *carrier;
  rerun.after = [call](std::int64_t result) { return truth_of_result(call, result); };
  co_return co_await call.supervisor.run_again(call, std::move(rerun), unchanged);
}

}  // namespace seccomp
