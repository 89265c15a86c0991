// Owns: chown and stat of an image engine in the store of its layers, where an owner is a record
// and a slot. Called by: on_chown, on_stat, for containers of Mode::engine. Never: touches a file
// outside of a store, or one of our own mounts: those are everybody's handlers' business.
#pragma once
#include <optional>

#include "identity/owner_record.hpp"
#include "ring/task.hpp"
#include "seccomp/calls.hpp"

namespace seccomp {

/// Nothing: not a file of a store; go on as in slot mode.
ring::Task<std::optional<Answer>> engine_chown(Call call);
ring::Task<std::optional<Answer>> engine_stat(Call call);
ring::Task<std::optional<Answer>> engine_mknod(Call call, mode_t mode, identity::Device device);

}  // namespace seccomp
