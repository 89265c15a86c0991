// Owns: nothing; chown and stat of the image engine, which is root of the pool: what is done to
// files of its stores goes to the owner store. Called by: on_chown, on_stat, in Mode::engine.
// Never: answers for a file that is in no store (nothing: go on as in slot mode).
#pragma once
#include <optional>

#include "ring/task.hpp"
#include "seccomp/calls.hpp"

namespace seccomp {

ring::Task<std::optional<Answer>> engine_chown(Call call);
ring::Task<std::optional<Answer>> engine_stat(Call call);

}  // namespace seccomp
