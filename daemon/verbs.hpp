// Owns: the only list of what can be asked for over the control socket. Called by:
// daemon/connection. Never: trusts an argument: the peer is of our user, but may be a container.
#pragma once
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "daemon/protocol.hpp"
#include "ring/task.hpp"

namespace serving {

class Control;
class Server;

/// One request under way. Lives until its answer is sent, whether or not somebody still waits.
struct Call {
  Server& server;
  Control& control;
  Json args;                    // the whole request; see text_of() and its like
  std::vector<base::Fd> fds;    // those that came with it, if the verb wants any
  pid_t peer = 0;               // who asks, as our pid namespace numbers it; 0: it does not
  std::string code = "EINVAL";  // set before refusing, where a program may want to know
};

using Answered = base::Checked<Json>;

/// Exactly one of the two is set. `later` may wait; what it needs it takes from the Call.
struct Verb {
  std::string_view name;
  Answered (*now)(Call&) = nullptr;
  ring::Task<Answered> (*later)(Call&) = nullptr;
  bool wants_fds = false;
};

/// Nothing if there is no such verb.
const Verb* find_verb(std::string_view name);

// The handlers, each in its topic's file.
Answered verb_hello(Call& call);                // verbs.cpp
ring::Task<Answered> verb_mount(Call& call);    // mount_verb.cpp
Answered verb_reload(Call& call);               // reload.cpp
ring::Task<Answered> verb_refresh(Call& call);  // refresh.cpp
Answered verb_stop(Call& call);                 // service_verbs.cpp
Answered verb_drain(Call& call);
Answered verb_restart(Call& call);

Answered verb_supervise(Call& call);  // supervise_verb.cpp

// status_verbs.cpp
Answered verb_status(Call& call);
Answered verb_mounts(Call& call);
Answered verb_inflight(Call& call);
Answered verb_metrics(Call& call);
Answered verb_log_level(Call& call);

}  // namespace serving
