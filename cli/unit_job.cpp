#include "cli/unit_job.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "cli/systemctl.hpp"

namespace cli {

std::string job_of(const std::string& list, const std::string& unit) {
  std::istringstream lines(list);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string number, name, type;
    if (words >> number >> name >> type && name == unit) return type;
  }
  return {};
}

std::string unit_of_cgroup(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::string last = line.substr(line.rfind('/') + 1);
    if (last.ends_with(".service")) return last;
  }
  return {};
}

bool unit_stops_for_good() {
  // Unset: the daemon is dead already, and its successor will want the mounts.
  if (!std::getenv("MAINPID")) return false;
  std::stringstream cgroup;
  cgroup << std::ifstream("/proc/self/cgroup").rdbuf();
  std::string unit = unit_of_cgroup(cgroup.str());
  if (unit.empty()) unit = "usernetes-identity.service";
  auto jobs = systemctl({"list-jobs", "--no-legend", "--plain", "--no-pager"});
  return jobs && job_of(*jobs, unit) == "stop";
}

}  // namespace cli
