// Owns: the file in which a collector (node_exporter's textfile directory) finds our metrics.
// Called by: daemon/service. Never: blocks the reactor on that file's disk, shows a reader half a
// file, or follows what somebody else has put at its name.
#pragma once
#include <memory>
#include <string>

#include "daemon/server.hpp"
#include "ring/timer.hpp"

namespace serving {

class Control;

class MetricsFile {
 public:
  /// Writes `path` now and every `seconds`: a new file each time, renamed over the one before, mode
  /// 0644 since collectors are other users. What fails is logged, and tried again.
  MetricsFile(Server& server, const Control* control, std::string path, std::uint32_t seconds);
  ~MetricsFile();
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;

 private:
  struct Job;
  void tick();
  static ring::Task<void> write(std::shared_ptr<Job> job);
  Server& server_;
  const Control* control_;
  std::shared_ptr<Job> job_;
  std::uint32_t seconds_;
  ring::Timer next_;
};

}  // namespace serving
