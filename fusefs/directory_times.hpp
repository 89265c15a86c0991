// Owns: the times of a directory while we do something in it that nobody asked for.
// Called by: chown and link of special files (sidecars). Never: hides a change that a caller made.
#pragma once
#include "ring/at.hpp"

namespace fusefs {

/// Puts access and modification time back when it goes out of scope.
class DirectoryTimes {
 public:
  /// `dir`: an open directory (O_PATH will do), for as long as this object lives.
  explicit DirectoryTimes(int dir) : dir_(dir), before_(ring::at::stat({dir, ""})) {}
  DirectoryTimes(const DirectoryTimes&) = delete;
  DirectoryTimes& operator=(const DirectoryTimes&) = delete;
  ~DirectoryTimes() {
    if (!before_) return;
    const timespec times[2] = {before_->st_atim, before_->st_mtim};
    (void)ring::at::set_times({dir_, "."}, times);
  }

 private:
  int dir_;
  base::Result<struct stat> before_;
};

}  // namespace fusefs
