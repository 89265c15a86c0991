#include "seccomp/calls.hpp"

#include <linux/audit.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>

namespace seccomp {
namespace {

constexpr std::uint8_t bit(Profile profile) {
  return static_cast<std::uint8_t>(profile);
}
constexpr std::uint8_t kFull = bit(Profile::full);
constexpr std::uint8_t kEngine = bit(Profile::engine);
constexpr std::uint8_t kEngines = kEngine | bit(Profile::unpack);
constexpr std::uint8_t kIds = bit(Profile::basic) | kFull;  // changes, takes or tells ids
constexpr std::uint8_t kOwners = kIds | kEngines;           // changes owners
constexpr std::uint8_t kShown = kFull | kEngine;            // tells owners

// Arguments of type int: the upper half of the register means nothing.
constexpr std::uint64_t kInt = 0xffffffff;
constexpr Condition equals(std::uint8_t argument, std::uint64_t value) {
  return {argument, kInt, value};
}
using Group = std::span<const Condition>;

constexpr Condition kPeerCred[] = {equals(1, SOL_SOCKET), equals(2, SO_PEERCRED)};
constexpr Condition kPeerGroups[] = {equals(1, SOL_SOCKET), equals(2, SO_PEERGROUPS)};
constexpr Group kPeer[] = {kPeerCred, kPeerGroups};

constexpr Condition kUser[] = {equals(0, PRIO_USER)};
constexpr Group kPriorityUser[] = {kUser};
constexpr Condition kIoUser[] = {equals(0, 3)};  // IOPRIO_WHO_USER, linux/ioprio.h
constexpr Group kIoPriorityUser[] = {kIoUser};

constexpr Condition kSetSecond[] = {equals(1, IPC_SET)};
constexpr Condition kSetThird[] = {equals(2, IPC_SET)};
constexpr Group kSet1[] = {kSetSecond};
constexpr Group kSet2[] = {kSetThird};
constexpr Condition kShm[] = {equals(1, IPC_STAT), equals(1, SHM_STAT), equals(1, 15)};  // _ANY
constexpr Condition kMsg[] = {equals(1, IPC_STAT), equals(1, 11), equals(1, 13)};
constexpr Condition kSem[] = {equals(2, IPC_STAT), equals(2, 18), equals(2, 20)};
constexpr Group kStatShm[] = {Group(kShm, 1), Group(kShm + 1, 1), Group(kShm + 2, 1)};
constexpr Group kStatMsg[] = {Group(kMsg, 1), Group(kMsg + 1, 1), Group(kMsg + 2, 1)};
constexpr Group kStatSem[] = {Group(kSem, 1), Group(kSem + 1, 1), Group(kSem + 2, 1)};

constexpr Condition kCharacter1[] = {{1, S_IFMT, S_IFCHR}}, kBlock1[] = {{1, S_IFMT, S_IFBLK}};
constexpr Condition kCharacter2[] = {{2, S_IFMT, S_IFCHR}}, kBlock2[] = {{2, S_IFMT, S_IFBLK}};
constexpr Group kDevice1[] = {kCharacter1, kBlock1};
constexpr Group kDevice2[] = {kCharacter2, kBlock2};

constexpr Condition kFlag0[] = {{0, CLONE_NEWUSER, CLONE_NEWUSER}};
constexpr Condition kFlag1[] = {{1, CLONE_NEWUSER, CLONE_NEWUSER}};
constexpr Condition kAny1[] = {equals(1, 0)};  // setns: the descriptor says which
constexpr Group kNewUser0[] = {kFlag0};
constexpr Group kJoinUser[] = {kFlag1, kAny1};

// What rows have in common.
constexpr Row kSetUid1 = {.profiles = kIds, .count = 1, .later = on_set_id};
constexpr Row kSetGid1 = {.profiles = kIds, .ids = Ids::gids, .count = 1, .later = on_set_id};
constexpr Row kSetUid2 = {.profiles = kIds, .count = 2, .later = on_set_id};
constexpr Row kSetGid2 = {.profiles = kIds, .ids = Ids::gids, .count = 2, .later = on_set_id};
constexpr Row kSetUid3 = {.profiles = kIds, .count = 3, .later = on_set_id};
constexpr Row kSetGid3 = {.profiles = kIds, .ids = Ids::gids, .count = 3, .later = on_set_id};
constexpr Row kSetFsUid = {.profiles = kIds, .count = 1, .later = on_set_fs_id};
constexpr Row kSetFsGid = {.profiles = kIds, .ids = Ids::gids, .count = 1, .later = on_set_fs_id};
constexpr Row kSetGroups = {.profiles = kIds, .ids = Ids::gids, .later = on_set_groups};
constexpr Row kGetUid = {.profiles = kIds, .own_ids = true, .now = on_get_id};
constexpr Row kGetEuid = {.profiles = kIds, .effective = true, .own_ids = true, .now = on_get_id};
constexpr Row kGetGid = {.profiles = kIds, .ids = Ids::gids, .own_ids = true, .now = on_get_id};
constexpr Row kGetEgid = {
    .profiles = kIds, .ids = Ids::gids, .effective = true, .own_ids = true, .now = on_get_id};
constexpr Row kGetUids = {.profiles = kIds, .own_ids = true, .later = on_get_three};
constexpr Row kGetGids = {
    .profiles = kIds, .ids = Ids::gids, .own_ids = true, .later = on_get_three};
constexpr Row kGetGroups = {
    .profiles = kIds, .ids = Ids::gids, .own_ids = true, .later = on_get_groups};
constexpr Row kChown = {.profiles = kOwners, .where = {.path = 0, .data = 1}, .later = on_chown};
constexpr Row kLchown = {
    .profiles = kOwners, .where = {.path = 0, .data = 1, .no_follow = true}, .later = on_chown};
constexpr Row kFchown = {
    .profiles = kOwners, .where = {.directory = 0, .data = 1}, .later = on_chown};
constexpr Row kPathStat = {
    .profiles = kShown, .layout = Layout::stat, .where = {.path = 0, .data = 1}, .later = on_stat};
constexpr Row kPathStat64 = {.profiles = kShown,
                             .layout = Layout::stat64,
                             .where = {.path = 0, .data = 1},
                             .later = on_stat};
constexpr Row kLinkStat = {.profiles = kShown,
                           .layout = Layout::stat,
                           .where = {.path = 0, .data = 1, .no_follow = true},
                           .later = on_stat};
constexpr Row kLinkStat64 = {.profiles = kShown,
                             .layout = Layout::stat64,
                             .where = {.path = 0, .data = 1, .no_follow = true},
                             .later = on_stat};
constexpr Row kFileStat = {.profiles = kShown,
                           .layout = Layout::stat,
                           .where = {.directory = 0, .data = 1},
                           .later = on_stat};
constexpr Row kFileStat64 = {.profiles = kShown,
                             .layout = Layout::stat64,
                             .where = {.directory = 0, .data = 1},
                             .later = on_stat};
constexpr Row kAcl = {.profiles = kFull, .where = {.path = 0, .data = 2}, .later = on_acl};
constexpr Row kLinkAcl = {
    .profiles = kFull, .where = {.path = 0, .data = 2, .no_follow = true}, .later = on_acl};
constexpr Row kFileAcl = {.profiles = kFull, .where = {.directory = 0, .data = 2}, .later = on_acl};
constexpr Row kPriority = {
    .profiles = kIds, .when = kPriorityUser, .count = 2, .later = on_priority};
constexpr Row kIoPriority = {
    .profiles = kIds, .when = kIoPriorityUser, .count = 2, .later = on_priority};
constexpr Row kNewUser = {.profiles = kOwners, .when = kNewUser0, .now = on_move};
constexpr Row kAbsent = {.profiles = kOwners, .action = Action::absent};

constexpr Row row(std::string_view name, int x86_64, int aarch64, int i386, Row rest) {
  rest.name = name;
  rest.x86_64 = x86_64;
  rest.aarch64 = aarch64;
  rest.i386 = i386;
  return rest;
}
constexpr Row narrow(std::string_view name, int i386) {
  return row(name, kNone, kNone, i386, {.action = Action::absent});
}

constexpr Row kRows[] = {
    // What changes ids.
    row("setuid", 105, 146, kNone, kSetUid1),
    row("setuid32", kNone, kNone, 213, kSetUid1),
    row("setgid", 106, 144, kNone, kSetGid1),
    row("setgid32", kNone, kNone, 214, kSetGid1),
    row("setreuid", 113, 145, kNone, kSetUid2),
    row("setreuid32", kNone, kNone, 203, kSetUid2),
    row("setregid", 114, 143, kNone, kSetGid2),
    row("setregid32", kNone, kNone, 204, kSetGid2),
    row("setresuid", 117, 147, kNone, kSetUid3),
    row("setresuid32", kNone, kNone, 208, kSetUid3),
    row("setresgid", 119, 149, kNone, kSetGid3),
    row("setresgid32", kNone, kNone, 210, kSetGid3),
    row("setfsuid", 122, 151, kNone, kSetFsUid),
    row("setfsuid32", kNone, kNone, 215, kSetFsUid),
    row("setfsgid", 123, 152, kNone, kSetFsGid),
    row("setfsgid32", kNone, kNone, 216, kSetFsGid),
    row("setgroups", 116, 159, kNone, kSetGroups),
    row("setgroups32", kNone, kNone, 206, kSetGroups),
    // What tells them.
    row("getuid", 102, 174, kNone, kGetUid),
    row("getuid32", kNone, kNone, 199, kGetUid),
    row("geteuid", 107, 175, kNone, kGetEuid),
    row("geteuid32", kNone, kNone, 201, kGetEuid),
    row("getgid", 104, 176, kNone, kGetGid),
    row("getgid32", kNone, kNone, 200, kGetGid),
    row("getegid", 108, 177, kNone, kGetEgid),
    row("getegid32", kNone, kNone, 202, kGetEgid),
    row("getresuid", 118, 148, kNone, kGetUids),
    row("getresuid32", kNone, kNone, 209, kGetUids),
    row("getresgid", 120, 150, kNone, kGetGids),
    row("getresgid32", kNone, kNone, 211, kGetGids),
    row("getgroups", 115, 158, kNone, kGetGroups),
    row("getgroups32", kNone, kNone, 205, kGetGroups),
    row("getsockopt", 55, 209, 365, {.profiles = kIds, .when = kPeer, .later = on_peer}),
    // Owners of files.
    row("chown", 92, kNone, kNone, kChown),
    row("chown32", kNone, kNone, 212, kChown),
    row("lchown", 94, kNone, kNone, kLchown),
    row("lchown32", kNone, kNone, 198, kLchown),
    row("fchown", 93, 55, kNone, kFchown),
    row("fchown32", kNone, kNone, 207, kFchown),
    row("fchownat", 260, 54, 298,
        {.profiles = kOwners,
         .where = {.directory = 0, .path = 1, .flags = 4, .data = 2},
         .later = on_chown}),
    row("stat", 4, kNone, kNone, kPathStat),
    row("stat64", kNone, kNone, 195, kPathStat64),
    row("lstat", 6, kNone, kNone, kLinkStat),
    row("lstat64", kNone, kNone, 196, kLinkStat64),
    row("fstat", 5, 80, kNone, kFileStat),
    row("fstat64", kNone, kNone, 197, kFileStat64),
    row("newfstatat", 262, 79, kNone,
        {.profiles = kShown,
         .layout = Layout::stat,
         .where = {.directory = 0, .path = 1, .flags = 3, .data = 2},
         .later = on_stat}),
    row("fstatat64", kNone, kNone, 300,
        {.profiles = kShown,
         .layout = Layout::stat64,
         .where = {.directory = 0, .path = 1, .flags = 3, .data = 2},
         .later = on_stat}),
    row("statx", 332, 291, 383,
        {.profiles = kShown,
         .layout = Layout::statx,
         .where = {.directory = 0, .path = 1, .flags = 2, .data = 4},
         .later = on_stat}),
    row("setxattr", 188, 5, 226, kAcl),
    row("lsetxattr", 189, 6, 227, kLinkAcl),
    row("fsetxattr", 190, 7, 228, kFileAcl),
    row("getxattr", 191, 8, 229, kAcl),
    row("lgetxattr", 192, 9, 230, kLinkAcl),
    row("fgetxattr", 193, 10, 231, kFileAcl),
    row("mknod", 133, kNone, 14,
        {.profiles = kOwners,
         .when = kDevice1,
         .where = {.path = 0, .data = 1, .no_follow = true},
         .later = on_mknod}),
    row("mknodat", 259, 33, 297,
        {.profiles = kOwners,
         .when = kDevice2,
         .where = {.directory = 0, .path = 1, .data = 2, .no_follow = true},
         .later = on_mknod}),
    // Whose they are, of other things.
    row("setpriority", 141, 140, 97, kPriority),
    row("getpriority", 140, 141, 96, kPriority),
    row("ioprio_set", 251, 30, 289, kIoPriority),
    row("ioprio_get", 252, 31, 290, kIoPriority),
    row("shmctl", 31, 195, 396,
        {.profiles = kIds, .when = kSet1, .where = {.data = 2}, .later = on_ipc}),
    row("shmctl", 31, 195, 396,
        {.profiles = kFull, .when = kStatShm, .where = {.data = 2}, .later = on_ipc}),
    row("semctl", 66, 191, 394,
        {.profiles = kIds, .when = kSet2, .where = {.data = 3}, .later = on_ipc}),
    row("semctl", 66, 191, 394,
        {.profiles = kFull, .when = kStatSem, .where = {.data = 3}, .later = on_ipc}),
    row("msgctl", 71, 187, 402,
        {.profiles = kIds, .when = kSet1, .where = {.data = 2}, .later = on_ipc}),
    row("msgctl", 71, 187, 402,
        {.profiles = kFull, .when = kStatMsg, .where = {.data = 2}, .later = on_ipc}),
    // Ways into another user namespace. The flags of clone3 are in memory: no filter sees them.
    row("unshare", 272, 97, 310, kNewUser),
    row("setns", 308, 268, 346, {.profiles = kOwners, .when = kJoinUser, .now = on_move}),
    row("clone", 56, 220, 120, kNewUser),
    // A ring would go around the filter.
    row("io_uring_setup", 425, 425, 425, kAbsent),
    row("io_uring_enter", 426, 426, 426, kAbsent),
    row("io_uring_register", 427, 427, 427, kAbsent),
};

// 32-bit programs' calls of the same names, with 16-bit ids: carriers do not fit.
constexpr Row kNarrow[] = {
    narrow("setuid", 23),    narrow("setgid", 46),     narrow("setreuid", 70),
    narrow("setregid", 71),  narrow("setresuid", 164), narrow("setresgid", 170),
    narrow("setfsuid", 138), narrow("setfsgid", 139),  narrow("setgroups", 81),
    narrow("getgroups", 80), narrow("getresuid", 165), narrow("getresgid", 171),
    narrow("getuid", 24),    narrow("geteuid", 49),    narrow("getgid", 47),
    narrow("getegid", 50),   narrow("chown", 182),     narrow("lchown", 16),
    narrow("fchown", 95),
};
constexpr Row kX32 = {.name = "x32", .action = Action::absent};
constexpr int kX32Bit = 0x40000000;  // __X32_SYSCALL_BIT

constexpr std::size_t kNumbers = 512;
using Numbers = std::array<const Row*, kNumbers>;

template <std::size_t N>
void enter(Numbers& numbers, const Row (&rows)[N], int Row::*number) {
  for (const Row& row : rows)
    if (const int n = row.*number; n >= 0 && !numbers[n]) numbers[n] = &row;
}

Numbers numbers_of(int Row::*number) {
  Numbers numbers{};
  enter(numbers, kRows, number);
  enter(numbers, kNarrow, number);
  return numbers;
}

}  // namespace

const std::span<const Row> kCalls(kRows);

const Row* find_call(std::uint32_t arch, int number) {
  static const Numbers x86_64 = numbers_of(&Row::x86_64), aarch64 = numbers_of(&Row::aarch64),
                       i386 = numbers_of(&Row::i386);
  if (number < 0) return nullptr;
  if (arch == AUDIT_ARCH_X86_64 && (number & kX32Bit)) return &kX32;
  if (number >= static_cast<int>(kNumbers)) return nullptr;
  switch (arch) {
    case AUDIT_ARCH_X86_64: return x86_64[number];
    case AUDIT_ARCH_AARCH64: return aarch64[number];
    case AUDIT_ARCH_I386: return i386[number];
    default: return nullptr;
  }
}

bool is_meant(const Row& row, const Notice& notice) {
  if (row.when.empty()) return true;
  auto holds = [&](Group group) {
    return std::all_of(group.begin(), group.end(), [&](const Condition& one) {
      const std::uint64_t mask = one.mask == 0 ? ~std::uint64_t{0} : one.mask;
      return (notice.arguments[one.argument] & mask) == one.value;
    });
  };
  return std::any_of(kCalls.begin(), kCalls.end(), [&](const Row& other) {
    return other.name == row.name && std::any_of(other.when.begin(), other.when.end(), holds);
  });
}

}  // namespace seccomp
