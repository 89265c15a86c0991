// Owns: finding out why systemd runs our ExecStop: a stop, a restart, or a crash. Called by:
// `stop --from-unit`. Never: guesses a stop: mounts that stay can be unmounted later.
#pragma once
#include <string>

namespace cli {

/// The type of the unit's job in the output of `systemctl list-jobs --no-legend --plain`
/// ("stop", "restart", ...); "" when it has none.
std::string job_of(const std::string& list, const std::string& unit);
/// The last part of a path in the text of /proc/self/cgroup that names a service; "" if none does.
std::string unit_of_cgroup(const std::string& text);
/// Whether this process was started by a unit's ExecStop because the unit is to stop for good.
bool unit_stops_for_good();

}  // namespace cli
