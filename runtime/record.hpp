// Owns: what is remembered of a container between its create and its delete: the ids it has, one
// small file each. Called by: cli/runtime_verb. Never: is needed for a container to run; who has no
// runtime directory has no records.
#pragma once
#include <ctime>
#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "identity/pool.hpp"
#include "runtime/entered.hpp"

namespace oci {

struct Record {
  std::string id, bundle, mode;
  std::string program;                // the runtime that has it; no other one knows it
  std::string uids, gids;             // the maps as in uid_map; empty: no user namespace of ours
  std::vector<Entered> entered = {};  // to be entered before an exec too
  bool supervised = false;            // a daemon answers for ids that are not in the maps
  std::time_t created = 0;
};

class Records {
 public:
  /// `containers` in the directory `parent`, made if missing.
  static base::Checked<Records> open(int parent);

  /// Replaces one of the same name. Where there are many, those whose bundle is gone are removed.
  base::Checked<base::Unit> write(const std::string& root, const Record& record) const;
  /// Nothing: there is none, or it is none that we would write.
  std::optional<Record> read(const std::string& root, const std::string& id) const;
  void remove(const std::string& root, const std::string& id) const;

 private:
  explicit Records(base::Fd directory) : directory_(std::move(directory)) {}
  std::optional<Record> read_file(const std::string& name) const;
  void forget_gone() const;

  base::Fd directory_;
};

}  // namespace oci
