#include <linux/capability.h>
#include <linux/limits.h>

#include <algorithm>

#include "seccomp/calls.hpp"
#include "seccomp/translate.hpp"

namespace seccomp {
namespace {

// Read when the process's turn has come: all its threads call with the same list.
ring::Task<std::vector<Overlay>> carriers_of_list(Call call, std::size_t count) {
  std::vector<Overlay> overlay;
  std::vector<Id> list(count);
  const std::uint64_t address = call.notice.arguments[1];
  auto bytes = std::as_writable_bytes(std::span(list));
  auto read = co_await call.supervisor.tracees().read(call.notice.tid, address, bytes);
  if (!read || (call.still_valid && !call.still_valid())) co_return overlay;
  bool differs = false;
  for (Id& id : list) {
    const auto carrier = carrier_for(call, Ids::gids, id, CAP_SETGID);
    if (!carrier) co_return overlay;  // may not set groups: the kernel says so before it looks
    differs |= id != *carrier;
    id = *carrier;
  }
  if (differs) overlay.push_back({address, {bytes.begin(), bytes.end()}});
  co_return overlay;
}

}  // namespace

ring::Task<Answer> on_set_groups(Call call) {
  const std::int32_t count = int_at(call, 0);
  if (count <= 0 || count > NGROUPS_MAX) co_return Answer::resume();
  Rerun rerun;
  rerun.prepare = [call, count] { return carriers_of_list(call, static_cast<std::size_t>(count)); };
  co_return co_await call.supervisor.run_again(call, std::move(rerun));
}

ring::Task<Answer> on_get_groups(Call call) {
  const IdView& ids = call.container->gids;
  const std::int32_t size = int_at(call, 0);
  if (size < 0) co_return Answer::resume();
  auto list = co_await call.supervisor.tracees().groups(call.notice.tid);
  if (!list) co_return unseen(call);
  bool differs = false;
  for (Id& id : *list) {
    const Id shown = ids.shown(id);
    id = ids.truth_of_slot(id);
    differs |= id != shown;
  }
  if (!differs || size == 0 || list->empty()) co_return Answer::resume();
  if (list->size() > static_cast<std::size_t>(size)) co_return Answer::fail(EINVAL);
  std::sort(list->begin(), list->end());  // as the kernel keeps them where ids are themselves
  const auto count = static_cast<std::int64_t>(list->size());
  std::vector<Id> sorted = std::move(*list);
  co_return co_await answer_ids(call, call.notice.arguments[1], std::move(sorted), count);
}

}  // namespace seccomp
