#include <linux/limits.h>
#include <sys/socket.h>

#include <algorithm>

#include "seccomp/calls.hpp"
#include "seccomp/translate.hpp"

namespace seccomp {
namespace {

// The length that the kernel has written last; another thread may have written over it.
ring::Task<std::uint32_t> length_of(Call call, std::uint32_t most) {
  std::uint32_t length = 0;
  auto bytes = std::as_writable_bytes(std::span(&length, 1));
  auto read =
      co_await call.supervisor.tracees().read(call.notice.tid, call.notice.arguments[4], bytes);
  co_return read ? std::min(length, most) : 0;
}

// struct ucred: pid, uid, gid; a short buffer gets as much of it as fits.
ring::Task<std::int64_t> show_peer(Call call, std::int64_t result) {
  if (result < 0) co_return result;
  const std::uint32_t length = co_await length_of(call, sizeof(ucred));
  std::vector<Ids> kinds;
  if (length >= 8) kinds.push_back(Ids::uids);
  if (length >= 12) kinds.push_back(Ids::gids);
  if (!kinds.empty()) co_await show_ids(call, call.notice.arguments[3] + 4, std::move(kinds));
  co_return result;
}

ring::Task<std::int64_t> show_groups(Call call, std::int64_t result) {
  if (result < 0) co_return result;
  const std::uint32_t length = co_await length_of(call, NGROUPS_MAX * sizeof(Id));
  std::vector<Id> list(length / sizeof(Id));
  if (list.empty()) co_return result;
  Tracees& tracees = call.supervisor.tracees();
  auto bytes = std::as_writable_bytes(std::span(list));
  auto read = co_await tracees.read(call.notice.tid, call.notice.arguments[3], bytes);
  if (!read) co_return result;
  for (Id& id : list) id = call.container->gids.truth_of_carrier(id);
  std::sort(list.begin(), list.end());  // as the kernel keeps them where ids are themselves
  auto written =
      co_await tracees.write(call.notice.tid, call.notice.arguments[3], bytes, call.still_valid);
  co_return written ? result : -written.error().value;
}

}  // namespace

// SO_PEERCRED and SO_PEERGROUPS: the filter lets all else through.
ring::Task<Answer> on_peer(Call call) {
  const bool groups = int_at(call, 2) == SO_PEERGROUPS;
  const bool ours = int_at(call, 1) == SOL_SOCKET && (groups || int_at(call, 2) == SO_PEERCRED);
  if (!ours || !shows_others(call)) co_return Answer::resume();
  Rerun rerun;
  rerun.after = [call, groups](std::int64_t result) {
    return groups ? show_groups(call, result) : show_peer(call, result);
  };
  co_return co_await call.supervisor.run_again(call, std::move(rerun), Answer::resume());
}

}  // namespace seccomp
