// Owns: $XDG_RUNTIME_DIR/usernetes-identity and the names in it: sockets, locks. Called by: client,
// control, slot_journal, the keeper of descriptors. Never: uses a directory that somebody else may
// write to, or follows a link to one.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "config/config.hpp"

namespace serving {

/// Its path; "" when there is no XDG_RUNTIME_DIR.
std::string runtime_dir();
/// Opened (and made, mode 0700, if missing); the message says why it cannot be used.
base::Checked<base::Fd> open_runtime_dir();

/// Text of /proc/self/uid_map and gid_map, blanks made one each.
struct IdMaps {
  std::string uids, gids;
  static IdMaps of_this_process();
  /// As we see them; empty: there is no such process, or it is not ours to ask.
  static IdMaps of(pid_t process);
  friend bool operator==(const IdMaps&, const IdMaps&) = default;
};
/// Inode of this process's user namespace; 0: not known.
std::uint64_t user_namespace();
/// "control.sock", the service's.
std::string service_socket();
/// "ns-<16 hex>.sock": of the daemon that a mount in a namespace with these maps starts.
std::string namespace_socket(const IdMaps& maps);
/// "ns-<16 hex>-<inode>.sock": of one that supervises this namespace alone, where the name above is
/// that of a daemon in another one.
std::string namespace_socket(const IdMaps& maps, std::uint64_t user_namespace);

/// A listening socket in the file system.
struct Listening {
  base::Fd socket;
  base::Fd lock;  // held as long as we listen: who has it may replace a socket that is left over
  std::string path;
};
/// Mode 0600. The directory above must be ours alone. Refused when somebody listens there.
base::Checked<Listening> listen_at(const std::string& path);

}  // namespace serving
