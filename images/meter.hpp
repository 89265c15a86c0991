// Owns: what one reading has cost so far, against what it may cost. Called by: the readers of
// trees and archives. Never: fails a reading: it says stop, and why.
#pragma once
#include <chrono>
#include <string>

#include "images/rootfs.hpp"

namespace images {

class Meter {
 public:
  Meter(const Limits& limits, const Progress& progress) : limits_(limits), progress_(progress) {}

  /// False from the moment a limit is reached. The clock is looked at now and then.
  bool spend_file() {
    if (++files_ > limits_.files)
      stop("more than " + std::to_string(limits_.files) + " files; the rest was not looked at");
    if (files_ % 64 == 0) look_at_clock();
    if (progress_ && !archive_ && files_ % 4096 == 0) progress_("files", files_);
    return !stopped();
  }
  /// `total`: of one archive. The clock is looked at each time: a call is a piece of work.
  bool spend_bytes(std::uint64_t total) {
    if (total > limits_.bytes)
      stop("more than " + std::to_string(limits_.bytes) + " bytes; the rest was not looked at");
    look_at_clock();
    archive_ = true;
    if (progress_) progress_("MiB", total >> 20);
    return !stopped();
  }
  bool stopped() const { return !why_.empty(); }
  const std::string& why() const { return why_; }
  std::uint64_t files() const { return files_; }
  const Limits& limits() const { return limits_; }

 private:
  void look_at_clock() {
    if (std::chrono::steady_clock::now() - begin_ > limits_.time)
      stop("took longer than " + std::to_string(limits_.time.count()) + " ms; " +
           std::to_string(files_) + " files were looked at, the rest was not");
  }
  void stop(std::string why) {
    if (why_.empty()) why_ = std::move(why);
  }

  const Limits limits_;
  const Progress progress_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::uint64_t files_ = 0;
  bool archive_ = false;  // bytes tell more than files
  std::string why_;
};

}  // namespace images
