#include "seccomp/translate.hpp"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <span>
#include <string>
#include <utility>

namespace seccomp {
namespace {

ring::Task<std::int64_t> write_after(Call call, std::uint64_t address, std::vector<Id> ids,
                                     std::int64_t result) {
  if (result < 0) co_return result;
  auto bytes = std::as_bytes(std::span(ids));
  auto written =
      co_await call.supervisor.tracees().write(call.notice.tid, address, bytes, call.still_valid);
  co_return written ? result : -written.error().value;
}

}  // namespace

// Not by /proc/TID/status: who reads
// that of a dying task may become the one who has to close what it had mapped, on our own mount.
bool has_capability(pid_t tid, int capability) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, tid};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) return false;
  return (data[capability / 32].effective >> (capability % 32)) & 1;
}

bool shows_others(const Call& call) {
  return call.container->uids.translates() || call.container->gids.translates();
}

Answer unseen(const Call& call) {
  return call.still_valid && !call.still_valid() ? Answer::silence() : Answer::resume();
}

base::Result<Id> carrier_for(const Call& call, Ids which, Id true_id, int capability) {
  IdView& ids = ids_of(call, which);
  if (!ids.has(true_id) && !has_capability(call.notice.tid, capability)) return base::fail(EPERM);
  const Id carrier = ids.carrier(true_id);
  if (carrier == kNoId)
    call.supervisor.tell(*call.container, "no_slot",
                         std::string(which == Ids::uids ? "uid=" : "gid=") +
                             std::to_string(true_id) + " call=" + std::string(call.row->name));
  return carrier;
}

Id named_carrier(const Call& call, Ids which, Id true_id) {
  if (true_id == kNoId) return kNoId;
  const auto carrier = carrier_for(call, which, true_id, CAP_CHOWN);
  return !carrier || *carrier == kNoId ? kUnmapped : *carrier;
}

ring::Task<void> show_ids(Call call, std::uint64_t address, std::vector<Ids> kinds) {
  std::vector<Id> ids(kinds.size());
  std::function<bool()> translate = [&call, &ids, &kinds] {
    bool differs = false;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const Id truth = ids_of(call, kinds[i]).truth_of_carrier(ids[i]);
      differs |= truth != std::exchange(ids[i], truth);
    }
    return differs;
  };
  auto bytes = std::as_writable_bytes(std::span(ids));
  auto change = call.supervisor.tracees().change(call.notice.tid, address, bytes,
                                                 std::move(translate), call.still_valid);
  (void)co_await std::move(change);
}

ring::Task<std::int64_t> show_after(Call call, std::uint64_t address, std::vector<Ids> kinds,
                                    std::int64_t result) {
  if (result >= 0) co_await show_ids(call, address, std::move(kinds));
  co_return result;
}

ring::Task<Answer> answer_ids(Call call, std::uint64_t address, std::vector<Id> ids,
                              std::int64_t result) {
  if (!call.killable) {
    Rerun rerun;
    rerun.after = [call, address, ids](std::int64_t got) {
      return write_after(call, address, ids, got);
    };
    Answer answer = co_await call.supervisor.run_again(call, std::move(rerun), kTraced);
    if (answer != kTraced) co_return answer;
  }
  if (call.still_valid && !call.still_valid()) co_return Answer::silence();
  auto bytes = std::as_bytes(std::span(ids));
  auto written =
      co_await call.supervisor.tracees().write(call.notice.tid, address, bytes, call.still_valid);
  co_return written ? Answer::value(result) : Answer::fail(written.error().value);
}

}  // namespace seccomp
