#include <linux/limits.h>

#include "seccomp/acl_value.hpp"
#include "seccomp/calls.hpp"
#include "seccomp/translate.hpp"

namespace seccomp {
namespace {

ring::Task<std::vector<Overlay>> carriers_of_acl(Call call, std::uint64_t address,
                                                 std::size_t size) {
  std::vector<Overlay> overlay;
  std::vector<std::byte> value(size);
  auto read = co_await call.supervisor.tracees().read(call.notice.tid, address, value);
  if (!read || (call.still_valid && !call.still_valid())) co_return overlay;
  const bool differs = translate_acl(value, [&call](bool group, Id id) {
    return named_carrier(call, group ? Ids::gids : Ids::uids, id);
  });
  if (differs) overlay.push_back({address, std::move(value)});
  co_return overlay;
}

ring::Task<std::int64_t> show_acl(Call call, std::uint64_t address, std::int64_t result) {
  if (result <= 0 || result > XATTR_SIZE_MAX) co_return result;
  Tracees& tracees = call.supervisor.tracees();
  std::vector<std::byte> value(static_cast<std::size_t>(result));
  auto read = co_await tracees.read(call.notice.tid, address, value);
  if (!read) co_return result;
  const bool differs = translate_acl(value, [&call](bool group, Id id) {
    return ids_of(call, group ? Ids::gids : Ids::uids).truth_of_carrier(id);
  });
  if (!differs) co_return result;
  auto written = co_await tracees.write(call.notice.tid, address, value, call.still_valid);
  co_return written ? result : -written.error().value;
}

}  // namespace

ring::Task<Answer> on_acl(Call call) {
  const std::uint64_t address = call.notice.arguments[2];
  const std::uint64_t size = call.notice.arguments[3];
  const bool sets = call.row->name.find("set") != std::string_view::npos;
  if (size == 0 || (sets && size > XATTR_SIZE_MAX)) co_return Answer::resume();
  if (!sets && !shows_others(call)) co_return Answer::resume();
  auto name =
      co_await call.supervisor.tracees().read_path(call.notice.tid, call.notice.arguments[1]);
  if (!name || (*name != "system.posix_acl_access" && *name != "system.posix_acl_default"))
    co_return Answer::resume();
  Rerun rerun;
  if (sets) {
    rerun.prepare = [call, address, size] { return carriers_of_acl(call, address, size); };
    co_return co_await call.supervisor.run_again(call, std::move(rerun));
  }
  rerun.after = [call, address](std::int64_t result) { return show_acl(call, address, result); };
  co_return co_await call.supervisor.run_again(call, std::move(rerun), Answer::resume());
}

}  // namespace seccomp
