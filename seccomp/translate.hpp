// Owns: what handlers have in common: from true ids to carriers before a call, from carriers to
// true ids after it. Called by: on_*.cpp. Never: gives an id a slot because of a task that may not
// become anybody: the window would be empty soon.
#pragma once
#include <cstdint>
#include <vector>

#include "seccomp/calls.hpp"
#include "seccomp/supervisor.hpp"

namespace seccomp {

/// What run_again says of a task that somebody else traces, to handlers that know another way.
inline constexpr Answer kTraced{Answer::Kind::error, 4095};
/// A number that no map has: the kernel refuses it (EINVAL) when its time has come.
inline constexpr Id kUnmapped = 0xfffffffe;

inline IdView& ids_of(Container& container, Ids which) {
  return which == Ids::uids ? container.uids : container.gids;
}
inline IdView& ids_of(const Call& call, Ids which) {
  return ids_of(*call.container, which);
}
/// Whether some number means another id: false, and what the kernel tells is true as it stands.
bool shows_others(const Call& call);
/// An argument that is an id; 32 bits of the register.
inline Id id_at(const Call& call, unsigned argument) {
  return static_cast<Id>(call.notice.arguments[argument]);
}
inline std::int32_t int_at(const Call& call, unsigned argument) {
  return static_cast<std::int32_t>(call.notice.arguments[argument]);
}
/// Of the task's own user namespace, effective: capabilities(7).
bool has_capability(pid_t tid, int capability);
/// What a container whose task can not be looked at gets: nothing if it is gone.
Answer unseen(const Call& call);

/// The number to call `true_id` by. kNoId: there is none, which has been said in the log.
/// `capability`: one that the task needs for any id that is not its own (capabilities(7)); an id
/// without a slot gets one only if it has it, else EPERM.
base::Result<Id> carrier_for(const Call& call, Ids which, Id true_id, int capability);
/// The same for calls by which any owner may name anybody (ACLs, IPC_SET). Always a number: what
/// the task may not bring into the world, or what finds no slot, is kUnmapped.
Id named_carrier(const Call& call, Ids which, Id true_id);

/// After a call: the ids that it has written at `address`, one after the other, in place.
ring::Task<void> show_ids(Call call, std::uint64_t address, std::vector<Ids> kinds);
/// The same with `result` passed on: for Rerun::after; nothing is done if it is negative.
ring::Task<std::int64_t> show_after(Call call, std::uint64_t address, std::vector<Ids> kinds,
                                    std::int64_t result);
/// Writes ids that are known without the call. Now, where the task can not leave meanwhile or is
/// traced by others; else by a stop at its end.
ring::Task<Answer> answer_ids(Call call, std::uint64_t address, std::vector<Id> ids,
                              std::int64_t result);

}  // namespace seccomp
