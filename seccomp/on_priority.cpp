#include "seccomp/calls.hpp"
#include "seccomp/translate.hpp"

namespace seccomp {

// setpriority, getpriority, ioprio_set, ioprio_get of a user: the second argument is the id.
ring::Task<Answer> on_priority(Call call) {
  const Id who = id_at(call, 1);
  IdView& ids = call.container->uids;
  if (who == 0 || who == kNoId) co_return Answer::resume();  // 0: the caller's own
  if (!ids.has(who)) co_return Answer::fail(ESRCH);          // nobody can be running as it
  const Id carrier = ids.carrier(who);
  if (carrier == who) co_return Answer::resume();
  Rerun rerun;
  rerun.arguments[1] = carrier == kNoId ? kUnmapped : carrier;
  co_return co_await call.supervisor.run_again(call, std::move(rerun));
}

}  // namespace seccomp
