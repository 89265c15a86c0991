// The JSON of what is supervised. docs/STATUS.md describes the fields.
#include <algorithm>
#include <cmath>

#include "daemon/status.hpp"
#include "seccomp/state_message.hpp"

namespace serving {
namespace {

using base::metrics::Histogram;
using Calls = std::map<std::string_view, Histogram>;

constexpr std::size_t kMostIds = 100;  // of a list of ids; the counts are exact all the same

double micros(std::uint64_t nanoseconds) {
  return std::round(static_cast<double>(nanoseconds) / 100) / 10;
}

Json times_json(const Histogram& times) {
  return Json{{"count", times.count()},
              {"p50_us", micros(times.quantile_ns(0.5))},
              {"p99_us", micros(times.quantile_ns(0.99))},
              {"max_us", micros(times.max_ns())}};
}

Json calls_json(const Calls& calls) {
  Json out = Json::object();
  for (const auto& [name, times] : calls) out[std::string(name)] = times_json(times);
  return out;
}

Json sum_json(const Calls& calls) {
  Histogram sum;
  for (const auto& [name, times] : calls) sum.merge(times);
  return times_json(sum);
}

Json ids_json(const std::set<seccomp::Id>& ids) {
  Json list = Json::array();
  for (auto id = ids.begin(); id != ids.end() && list.size() < kMostIds; ++id) list.push_back(*id);
  return list;
}

}  // namespace

Json containers_json(const Status& status) {
  Json list = Json::array();
  for (const auto& container : status.supervision.containers)
    list.push_back({{"id", container->info.id},
                    {"mode", seccomp::mode_name(container->info.mode)},
                    {"profile", seccomp::profile_name(container->info.profile)},
                    {"user_namespace", container->user_namespace},
                    {"listeners", container->listeners},
                    {"waiting", container->under_way},
                    {"uids", ids_json(container->uids.asked())},
                    {"uid_count", container->uids.asked().size()},
                    {"gids", ids_json(container->gids.asked())},
                    {"gid_count", container->gids.asked().size()},
                    {"all_calls", sum_json(container->calls)},
                    {"calls", calls_json(container->calls)},
                    {"virtual_answers", container->virtual_answers},
                    {"refused", container->refused},
                    {"gone", container->gone}});
  return list;
}

Json supervision_json(const Status& status) {
  const SupervisionTotals& totals = status.supervision.totals;
  return Json{{"socket", status.supervision.socket},
              {"listeners", status.supervision.listeners},
              {"containers_ever", totals.containers},
              {"listeners_ever", totals.listeners},
              {"calls", calls_json(totals.calls)},
              {"virtual_answers", totals.virtual_answers},
              {"refused", totals.refused},
              {"gone", totals.gone}};
}

}  // namespace serving
