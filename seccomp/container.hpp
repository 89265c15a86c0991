// Owns: what is known of one container, or command, whose calls we answer. Called by: the
// supervisor, handlers, status. Never: outlives its last listener.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/log.hpp"
#include "base/metrics.hpp"
#include "seccomp/id_view.hpp"

namespace seccomp {

class StorePlaces;

enum class Mode : std::uint8_t { map, slot, engine };
/// Bits of Row::profiles. `unpack` is what is left of `engine` for an engine that only writes
/// layers and tells nobody of their owners.
enum class Profile : std::uint8_t { basic = 1, full = 2, engine = 4, unpack = 8 };

/// What a listener comes with; text and JSON of it are in state_message.
struct ContainerInfo {
  std::string id;  // container's name to its engine, or "run-PID"
  Mode mode = Mode::slot;
  Profile profile = Profile::full;
  bool killable = false;  // WAIT_KILLABLE_RECV
  pid_t pid = 0;          // of a process in the container's user namespace
};

struct Container {
  ContainerInfo info;
  std::uint64_t user_namespace = 0;  // inode; tasks in another one are left alone
  IdView uids, gids;
  unsigned listeners = 0;
  std::size_t under_way = 0;                                     // calls that wait for us
  std::map<std::string_view, base::metrics::Histogram> calls{};  // time to the answer, by row
  std::uint64_t virtual_answers = 0;  // to tasks that somebody else traces
  std::uint64_t refused = 0;          // tasks that may not be traced, calls that found no room
  std::uint64_t gone = 0;             // left before the answer: killed, or a signal came
  mutable base::log::Limiter told{20};
  std::shared_ptr<StorePlaces> places{};  // of an engine: where its stores are
};

}  // namespace seccomp
