// Owns: the one list of system calls that are intercepted: names, numbers, profiles, conditions,
// handlers. Called by: Supervisor, profile, status. Never: grows elsewhere: a new call is one row,
// one handler in on_*.cpp and one test.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "ring/task.hpp"
#include "seccomp/container.hpp"
#include "seccomp/notice.hpp"

namespace seccomp {

class Supervisor;
class NoticeLog;

/// What a handler works with. It may outlive the container's listeners: `container` is kept.
struct Call {
  Supervisor& supervisor;
  std::shared_ptr<Container> container;
  Notice notice;
  bool killable = false;
  const struct Row* row = nullptr;
  NoticeLog* log = nullptr;  // of the listener; may be none
  /// Sends error -512, see Injector.
  std::function<void()> restart;
  /// Of calls that may wait. Whether the task still waits in this very call, or stands in it as it
  /// is run again: what was read of it by its thread id is its own, and so is its memory. A system
  /// call each.
  std::function<bool()> still_valid;
};

/// One comparison of the filter; all of a group must hold. At most one for each argument: the
/// filter libraries know no more. `mask` 0: all bits.
struct Condition {
  std::uint8_t argument = 0;
  std::uint64_t mask = 0;
  std::uint64_t value = 0;
};

enum class Action : std::uint8_t {
  notify,
  absent,  // ENOSYS, by the filter itself
};

inline constexpr int kNone = -1;  // the architecture does not have the call

enum class Ids : std::uint8_t { uids, gids };

/// How the owner of a file stands in what a call writes.
enum class Layout : std::uint8_t { none, stat, stat64, statx };

/// Which of the call's arguments are what; -1: it has none such.
struct Where {
  std::int8_t directory = -1;  // descriptor of a file, or of the directory that `path` starts from
  std::int8_t path = -1;
  std::int8_t flags = -1;  // AT_*
  std::int8_t data = -1;   // the first id of an owner, a struct or a value that the call takes
  bool no_follow = false;  // the call never follows a link
};

struct Row {
  std::string_view name{};  // libseccomp's and OCI's
  int x86_64 = kNone;
  int aarch64 = kNone;
  int i386 = kNone;
  std::uint8_t profiles = 0;  // bits of Profile
  /// Groups of conditions, any of which suffices; none: always.
  std::span<const std::span<const Condition>> when{};
  Action action = Action::notify;
  // For the handlers.
  Ids ids = Ids::uids;
  std::uint8_t count = 0;  // of ids among the arguments, from the first on
  bool effective = false;  // of get*id
  bool own_ids = false;    // tells the task's own ids: not asked where none is another one
  Layout layout = Layout::none;
  Where where{};
  Answer (*now)(Call&) = nullptr;               // registers only: never waits
  ring::Task<Answer> (*later)(Call) = nullptr;  // may wait for the task's memory
};

extern const std::span<const Row> kCalls;
/// nullptr: not ours. `arch`: AUDIT_ARCH_*. A rule of a filter goes by the name, so it also brings
/// calls that only have a name with ours in common (16-bit ids of 32-bit programs, x32): rows of
/// Action::absent, which are not in kCalls; the answer to them is ENOSYS.
const Row* find_call(std::uint32_t arch, int number);
/// Whether the conditions of one of the call's rows hold: a filter may ask for more than them.
bool is_meant(const Row& row, const Notice& notice);

// Handlers, by family.
#define UNI_NOW(name) Answer name(Call&)
#define UNI_LATER(name) ring::Task<Answer> name(Call)
UNI_NOW(on_get_id);       // getuid geteuid getgid getegid
UNI_NOW(on_move);         // unshare setns clone: another user namespace
UNI_LATER(on_get_three);  // getresuid getresgid
UNI_LATER(on_set_id);     // setuid setgid setreuid setregid setresuid setresgid
UNI_LATER(on_set_fs_id);  // setfsuid setfsgid: the result is an id
UNI_LATER(on_get_groups);
UNI_LATER(on_set_groups);
UNI_LATER(on_chown);     // chown lchown fchown fchownat
UNI_LATER(on_stat);      // stat lstat fstat newfstatat statx
UNI_LATER(on_peer);      // getsockopt SO_PEERCRED SO_PEERGROUPS
UNI_LATER(on_ipc);       // shmctl semctl msgctl
UNI_LATER(on_priority);  // setpriority getpriority ioprio_set ioprio_get of a user
UNI_LATER(on_acl);       // setxattr getxattr and kin of POSIX ACLs
UNI_LATER(on_mknod);     // mknod mknodat of devices
#undef UNI_NOW
#undef UNI_LATER

}  // namespace seccomp
