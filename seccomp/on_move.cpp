#include "seccomp/calls.hpp"
#include "seccomp/supervisor.hpp"

namespace seccomp {

// From here on the task's user namespace has to be looked up anew: ids in another one than the
// container's are none of ours.
Answer on_move(Call& call) {
  call.supervisor.tracees().moved(call.notice.tid);
  return Answer::resume();
}

}  // namespace seccomp
