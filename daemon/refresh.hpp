// Owns: what a daemon does when an id is shown as another slot than before: it reads the journal
// and lets the kernel forget the owners concerned. Called by: the verb `refresh`, Service after a
// take-over, Supervision. Never: changes who owns a file, or holds the reactor up for a mount of
// many nodes.
#pragma once
#include <cstddef>
#include <string>

#include "ring/task.hpp"

namespace serving {

class Server;

struct Refreshed {
  std::size_t moved = 0;  // ids, uids and gids counted apart
  std::size_t nodes = 0;  // whose attributes the kernel was told to ask for again
};

/// `server` must outlive it.
ring::Task<Refreshed> refresh_owners(Server& server);
ring::Task<void> refresh_quietly(Server& server);

/// Asks the user's other daemons for the same; `own`: our socket. Waits for nobody.
void tell_other_daemons(const std::string& own);

}  // namespace serving
