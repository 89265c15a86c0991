// Owns: a user namespace of few ids, like that of a user with a pool, made by root. Called by: the
// tests of tests/service. Never: changes anything outside the child in which the story is told.
#pragma once
#include <sys/types.h>

#include <functional>
#include <string>

namespace service_test {

/// `story` as root of a namespace with the map of the seed (0:0:1, 1:1:1999, 65534:2000:2) and
/// mounts of its own, in a child; its answer, "" when all was well.
std::string in_pool(const std::function<std::string()>& story);

/// From inside a pool: a process in a user namespace nested in it, without a map.
class Nested {
 public:
  Nested();
  ~Nested();
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;
  /// "ok" or the name of errno. `kind`: "uid" or "gid".
  std::string write_map(const std::string& kind, const std::string& text) const;
  /// Blanks made one each, as it was written.
  std::string read_map(const std::string& kind) const;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

}  // namespace service_test
