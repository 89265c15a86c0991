// Owns: the Prometheus text form (exposition format 0.0.4) of a Status. Called by: the verb
// `metrics` and MetricsFile. Never: gives a series to a thing of which a container can make as many
// as it likes, apart from mounts; their latencies are therefore told in sum.
#pragma once
#include <string>
#include <string_view>

#include "daemon/status.hpp"

namespace serving {

std::string metrics_text(const Status& status);
/// As it stands between the quotes of a label: \, " and line ends escaped; what is no UTF-8 or a
/// control byte becomes '?'.
std::string escape_label(std::string_view raw);

}  // namespace serving
