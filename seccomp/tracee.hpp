// Owns: what we know of the threads that wait for us: pidfds, credentials, namespaces; and the ways
// to their memory. Called by: the handlers, the injector. Never: waits in the reactor for memory or
// a path of a task: both may lie in a mount of our own. What is read is only good after
// `still_valid`, since a thread id may have been reused.
#pragma once
#include <sys/types.h>

#include <bitset>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "identity/hash_slot.hpp"
#include "ring/reactor.hpp"
#include "ring/task.hpp"
#include "seccomp/notice.hpp"
#include "seccomp/turns.hpp"

namespace seccomp {

/// Real, effective, saved and file system ids of one thread, as our namespace numbers them; the
/// nobody id for what it does not map.
struct Credentials {
  struct Four {
    identity::Id real = 0, effective = 0, saved = 0, file_system = 0;
    friend bool operator==(const Four&, const Four&) = default;
  };
  Four uids, gids;
};

/// Whether a thread is where it was when the work for it began, and so has the memory of then.
using Still = std::function<bool()>;

class Tracees {
 public:
  explicit Tracees(ring::Reactor& reactor);
  ~Tracees();
  Tracees(const Tracees&) = delete;
  Tracees& operator=(const Tracees&) = delete;

  /// Now. Nothing: the thread is gone, or hidden from us. Inline and cheap (a cached pidfd and
  /// PIDFD_GET_INFO, Linux 6.13; /proc before). At most 1,024 pidfds are kept. What
  /// user_namespace() has just seen of the same thread is used once: who waits for us changes
  /// nothing.
  std::optional<Credentials> credentials(pid_t tid);
  /// Inode of the thread's user namespace. Cached with the pidfd: the filter tells us of unshare
  /// and setns, which `moved` is then called for.
  std::optional<std::uint64_t> user_namespace(pid_t tid);
  /// The thread is about to enter another user namespace: look each time from now on.
  void moved(pid_t tid);
  /// Its credentials are about to change.
  void changes(pid_t tid);
  /// Supplementary groups as our namespace numbers them. /proc is read by the ring: the reader of
  /// a dying task may be the one who has to write back what it had mapped, into our own mount.
  ring::Task<std::optional<std::vector<identity::Id>>> groups(pid_t tid);
  /// Thread group id.
  std::optional<pid_t> process(pid_t tid);

  /// The first word of a line of /proc/TID/status, as "State:" has it; "": there is none.
  ring::Task<std::string> status_word(pid_t tid, std::string name);

  /// Exactly bytes.size() bytes or an error (EFAULT; ESRCH: the thread is gone; EPERM, EACCES: we
  /// may not). The bytes must stay until it is done.
  ring::Task<base::Result<>> read(pid_t tid, std::uint64_t address, std::span<std::byte> bytes);
  /// `still` is asked when the memory has been opened, so that the bytes can reach no other: when
  /// another thread execs, the number of the first one passes to it, and perhaps to a set-uid
  /// program. ESRCH.
  ring::Task<base::Result<>> write(pid_t tid, std::uint64_t address,
                                   std::span<const std::byte> bytes, Still still);
  struct Piece {
    std::uint64_t address = 0;
    std::span<const std::byte> bytes;
  };
  /// To several places, at most ring::Chain::kMost: the writing is one handover to a worker.
  ring::Task<base::Result<>> write_each(pid_t tid, std::vector<Piece> pieces, Still still);
  /// Reads into `bytes`, calls `work`, and writes what it has made of them, if it returns true.
  ring::Task<base::Result<>> change(pid_t tid, std::uint64_t address, std::span<std::byte> bytes,
                                    std::function<bool()> work, Still still);
  /// A path of at most PATH_MAX bytes; ENAMETOOLONG, EFAULT.
  ring::Task<base::Result<std::string>> read_path(pid_t tid, std::uint64_t address);
  /// O_PATH descriptor of what `path` means to the thread: its root, its directory, or its
  /// descriptor `dirfd`; AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH in `flags`. Nothing below a magic
  /// link of /proc is resolved (EXDEV): the answer to those is "continue". For the permissions of
  /// the supervisor: nobody may learn from the answer what he may not see.
  ring::Task<base::Result<base::Fd>> open_path(pid_t tid, int dirfd, std::string path, int flags);
  /// Who owns what a call names: as open_path, and without `path` the descriptor itself. One
  /// handover to a worker, which reads the path and opens where it starts; the rest is told from
  /// what the kernel has in memory. EAGAIN: it can not be told so, go the long way. What comes of a
  /// thread id that was reused is nonsense, and goes nowhere: the answer to a call that is over.
  struct FileOwner {
    identity::Id uid = 0, gid = 0;
  };
  ring::Task<base::Result<FileOwner>> glance(pid_t tid, int dirfd,
                                             std::optional<std::uint64_t> path, int flags);

 private:
  struct Known;
  struct State;
  ring::Reactor& reactor_of() const;
  /// Of the container's. False: the thread is gone, or its newer call is asking.
  enum class Kind : std::uint8_t { open, read, write };
  ring::Task<bool> turn(Kind kind, pid_t tid, Turns::Turn& turn);
  /// The path at `address`, if there is one, and a descriptor for `place`, a link in /proc/TID.
  struct Begun {
    std::string path;
    base::Fd from;
  };
  ring::Task<base::Result<Begun>> begin_at(pid_t tid, std::string place,
                                           std::optional<std::uint64_t> address);
  std::unique_ptr<State> state_;
  std::bitset<256> starts_at_root_;  // by thread id: whether its last path did
};

}  // namespace seccomp
