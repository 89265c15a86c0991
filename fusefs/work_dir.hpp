// Owns: temporary names in <workdir>/work, where things are made whole before they are renamed into
// place. Called by: LayerStack (once), copy-up, creation, removal, rename. Never: leaves a name
// behind across a mount: prepare() empties the directory.
#pragma once
#include <cstdint>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace fusefs {

class WorkDir {
 public:
  /// Makes or empties `<dir>/work` and opens it (O_PATH). `path` is for the message.
  static base::Checked<base::Fd> prepare(const base::Fd& dir, const std::string& path);
  /// Whether this user may make char 0:0 devices here (Linux 5.8 and a file system that allows it).
  static bool can_make_whiteout(const base::Fd& work);
  /// Removes `name` of the open directory `dir` and all below it, never leaving its file system.
  static base::Result<> remove_tree(int dir, const std::string& name);

  explicit WorkDir(int fd) : fd_(fd) {}
  int fd() const { return fd_; }
  /// Removes what another process has left.
  void clear();
  /// A name that is not in use: "#1", "#2", ...
  std::string fresh() { return "#" + std::to_string(++last_); }

 private:
  int fd_;
  std::uint64_t last_ = 0;
};

}  // namespace fusefs
