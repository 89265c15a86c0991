#include "seccomp/calls.hpp"

namespace seccomp {

Answer on_move(Call&) {
  return Answer::resume();
}

}  // namespace seccomp
