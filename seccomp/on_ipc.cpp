#include <sys/ipc.h>

#include "seccomp/calls.hpp"
#include "seccomp/translate.hpp"

namespace seccomp {
namespace {

// struct ipc64_perm, with which shmid64_ds, semid64_ds and msqid64_ds begin: key, uid, gid, cuid,
// cgid of 32 bits each, on all three architectures.
constexpr std::uint64_t kOwner = 4;

ring::Task<std::vector<Overlay>> carriers_of_owner(Call call, std::uint64_t address) {
  std::vector<Overlay> overlay;
  std::array<Id, 2> owner{};
  auto bytes = std::as_writable_bytes(std::span(owner));
  auto read = co_await call.supervisor.tracees().read(call.notice.tid, address, bytes);
  if (!read || (call.still_valid && !call.still_valid())) co_return overlay;
  bool differs = false;
  for (std::size_t i = 0; i < owner.size(); ++i) {
    const Ids which = i == 0 ? Ids::uids : Ids::gids;
    const Id carrier = named_carrier(call, which, owner[i]);
    differs |= carrier != owner[i];
    owner[i] = carrier;
  }
  if (differs) overlay.push_back({address, {bytes.begin(), bytes.end()}});
  co_return overlay;
}

}  // namespace

// ipc(2), by which 32-bit programs of old call all of these, is left alone.
ring::Task<Answer> on_ipc(Call call) {
  const unsigned data = static_cast<unsigned>(call.row->where.data);
  const std::uint64_t address = call.notice.arguments[data] + kOwner;
  const bool sets = int_at(call, data - 1) == IPC_SET;
  if (!sets && !shows_others(call)) co_return Answer::resume();
  Rerun rerun;
  if (sets) {
    rerun.prepare = [call, address] { return carriers_of_owner(call, address); };
    co_return co_await call.supervisor.run_again(call, std::move(rerun));
  }
  rerun.after = [call, address](std::int64_t result) {
    return show_after(call, address, {Ids::uids, Ids::gids, Ids::uids, Ids::gids}, result);
  };
  co_return co_await call.supervisor.run_again(call, std::move(rerun), Answer::resume());
}

}  // namespace seccomp
