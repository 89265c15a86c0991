#include "seccomp/calls.hpp"

namespace seccomp {

Answer on_get_id(Call&) {
  return Answer::resume();
}

ring::Task<Answer> on_get_three(Call) {
  co_return Answer::resume();
}

ring::Task<Answer> on_set_id(Call) {
  co_return Answer::resume();
}

ring::Task<Answer> on_set_fs_id(Call) {
  co_return Answer::resume();
}

}  // namespace seccomp
