#include "seccomp/calls.hpp"

namespace seccomp {

ring::Task<Answer> on_chown(Call) {
  co_return Answer::resume();
}

}  // namespace seccomp
