#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>

#include <memory>

#include "seccomp/calls.hpp"
#include "seccomp/on_engine.hpp"
#include "seccomp/translate.hpp"

namespace seccomp {
namespace {

// Where uid and gid stand, one behind the other: arch/x86/include/uapi/asm/stat.h,
// asm-generic/stat.h, linux/stat.h.
std::uint64_t owner_offset(const Call& call) {
  constexpr std::uint32_t kAarch64 = 0xc00000b7;  // AUDIT_ARCH_AARCH64
  switch (call.row->layout) {
    case Layout::statx: return offsetof(struct statx, stx_uid);
    case Layout::stat64: return 24;
    default: return call.notice.arch == kAarch64 ? 24 : 28;
  }
}

enum class Owner : std::uint8_t { plain, other, unknown };

bool differs(const IdView& ids, Id slot) {
  return ids.shown(slot) != ids.truth_of_slot(slot);
}

Owner kind_of(const Container& container, Id uid, Id gid) {
  return differs(container.uids, uid) || differs(container.gids, gid) ? Owner::other : Owner::plain;
}

// What the call is about, by our own look at it: only to spare the stop at its end.
ring::Task<Owner> owner_of(Call call) {
  const Where& where = call.row->where;
  const int directory = where.directory < 0 ? AT_FDCWD : int_at(call, where.directory);
  int flags = where.flags < 0 ? 0 : int_at(call, where.flags);
  if (where.no_follow) flags |= AT_SYMLINK_NOFOLLOW;
  if (where.path < 0) flags |= AT_EMPTY_PATH;
  const Container& container = *call.container;
  Tracees& tracees = call.supervisor.tracees();
  const pid_t tid = call.notice.tid;
  const std::uint64_t address = where.path < 0 ? 0 : call.notice.arguments[where.path];
  auto named = address != 0 ? std::optional(address) : std::nullopt;
  auto glance = tracees.glance(tid, directory, named, flags);
  auto seen = co_await std::move(glance);
  if (seen) co_return kind_of(container, seen->uid, seen->gid);
  if (seen.error().value != EAGAIN) co_return Owner::plain;  // the kernel finds that out as well
  std::string path;
  if (address != 0) {
    auto read = co_await tracees.read_path(tid, address);
    if (!read) co_return Owner::plain;
    path = std::move(*read);
  }
  if (call.still_valid && !call.still_valid()) co_return Owner::plain;
  flags &= AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
  auto file = co_await tracees.open_path(tid, directory, path, flags);
  if (!file) co_return file.error().value == EXDEV ? Owner::unknown : Owner::plain;
  auto found = std::make_unique<struct statx>();
  const std::uint32_t sync = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
  const int result = co_await call.supervisor.reactor().operation(
      {.opcode = IORING_OP_STATX,
       .fd = file->get(),
       .offset = reinterpret_cast<std::uintptr_t>(found.get()),
       .address = "",
       .length = STATX_UID | STATX_GID,
       .op_flags = sync});
  if (result < 0) co_return Owner::unknown;
  co_return kind_of(container, found->stx_uid, found->stx_gid);
}

}  // namespace

ring::Task<Answer> on_stat(Call call) {
  if (call.container->info.mode == Mode::engine && call.supervisor.owners) {
    auto answer = co_await engine_stat(call);
    if (answer) co_return *answer;
  }
  if (!shows_others(call)) co_return Answer::resume();
  const Owner owner = co_await owner_of(call);
  if (owner == Owner::plain) co_return Answer::resume();
  const std::uint64_t address =
      call.notice.arguments[static_cast<unsigned>(call.row->where.data)] + owner_offset(call);
  Rerun rerun;
  rerun.after = [call, address](std::int64_t result) {
    return show_after(call, address, {Ids::uids, Ids::gids}, result);
  };
  co_return co_await call.supervisor.run_again(call, std::move(rerun), Answer::resume());
}

}  // namespace seccomp
