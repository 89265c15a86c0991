// Owns: files written into a user's home, and the memory of what was written. Called by:
// cli/install. Never: overwrites or removes what it did not write itself, or what somebody has
// changed since; never follows a link at a file's name.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace cli {

/// What `install` wants at a path: a file with this text, or a link.
struct Wanted {
  std::string path;
  std::string content;  // of the file, or where the link leads
  bool link = false;
};

/// What was done with a path, or would be.
enum class Deed { written, updated, same, left, removed, gone };
const char* deed_text(Deed deed, bool dry_run);

struct Outcome {
  std::string path;
  Deed deed;
  std::string why;      // of `left`
  std::string content;  // what is, or would be, written
};

class InstalledFiles {
 public:
  /// Reads what an earlier install has noted at `memory`, a JSON file; none is fine.
  static base::Checked<InstalledFiles> read(const std::string& memory, bool dry_run);

  /// Writes, replaces or leaves one file. Refused: the system's error, with the path.
  base::Checked<Outcome> put(const Wanted& wanted);
  /// Removes everything noted that nobody has changed, and directories made for it that are empty.
  base::Checked<std::vector<Outcome>> remove_all();
  /// Notes what was put. To be called after an error too: what is there is ours.
  base::Checked<base::Unit> save();

 private:
  explicit InstalledFiles(std::string memory, bool dry_run)
      : memory_(std::move(memory)), dry_run_(dry_run) {}
  base::Checked<base::Unit> make_directories(const std::string& path);
  base::Checked<base::Unit> write(const Wanted& wanted);
  Outcome remove(const std::string& path, const std::string& mark);

  std::string memory_;
  bool dry_run_;
  std::map<std::string, std::string> marks_;  // path -> what was written there
  std::vector<std::string> directories_;      // made by us, parents first
};

}  // namespace cli
