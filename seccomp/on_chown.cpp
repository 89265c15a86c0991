#include <linux/capability.h>

#include "seccomp/calls.hpp"
#include "seccomp/on_engine.hpp"
#include "seccomp/translate.hpp"

namespace seccomp {
namespace {

// An owner that this task may not give away to, though any path is looked up before it hears so.
// Never a group instead: it may be a member.
Id forbidden(const Call& call) {
  const auto credentials = call.supervisor.tracees().credentials(call.notice.tid);
  const bool root = credentials && credentials->uids.effective == 0;
  return call.container->uids.carrier(root ? identity::kNobody : 0);
}

}  // namespace

ring::Task<Answer> on_chown(Call call) {
  if (call.container->info.mode == Mode::engine && call.supervisor.owners) {
    auto answer = co_await engine_chown(call);
    if (answer) co_return *answer;
  }
  Rerun rerun;
  bool differs = false, may_not = false;
  const unsigned first = static_cast<unsigned>(call.row->where.data);
  for (Ids which : {Ids::uids, Ids::gids}) {
    const unsigned argument = which == Ids::uids ? first : first + 1;
    const Id id = id_at(call, argument);
    if (id == kNoId) continue;
    const auto carrier = carrier_for(call, which, id, CAP_CHOWN);
    if (!carrier) {
      may_not = true;
      continue;
    }
    const Id number = *carrier == kNoId ? kUnmapped : *carrier;
    if (number == id) continue;
    rerun.arguments[argument] = number;
    differs = true;
  }
  if (may_not) {
    for (unsigned argument : {first, first + 1}) rerun.arguments[argument] = kNoId;
    rerun.arguments[first] = forbidden(call);
    differs = true;
  }
  if (!differs) co_return Answer::resume();
  co_return co_await call.supervisor.run_again(call, std::move(rerun));
}

}  // namespace seccomp
