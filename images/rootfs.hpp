// Owns: nothing; it looks for ids in a directory that is, or will be, the root of a container.
// Called by: images/image (plan), images/bundle (runtime wrapper). Never: follows a link out of
// that directory, opens anything but directories and regular files, or takes longer than it was
// given.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

#include "base/result.hpp"
#include "images/accounts.hpp"
#include "images/found.hpp"

namespace images {

/// What one reading may cost. A reading that was cut says so in a note and is not kept in a cache.
struct Limits {
  std::uint64_t files = 20'000'000;
  std::uint64_t bytes = 1ull << 40;  // unpacked bytes of an archive
  std::chrono::milliseconds time = std::chrono::minutes(10);
  unsigned depth = 200;  // directories within each other; each costs a descriptor meanwhile
};

/// Called now and then with what is counted ("files", or "MiB" of a layer) and how many so far.
using Progress = std::function<void(std::string_view what, std::uint64_t done)>;

/// passwd, group, subuid and subgid in `etc` of a root directory. A missing one is no error; what
/// can not be read or is wrong in it is a note. Members of groups do not matter: they are names.
base::Checked<FoundIds> read_accounts(int root_fd);
/// One of them; nothing where it does not exist.
bool read_account_file(int root_fd, AccountFile kind, FoundIds& found);

struct Walked {
  FoundIds found;
  bool complete = true;  // false: a limit ended it, a note says which
  std::uint64_t files = 0;
};
/// The owners of all files below `root_fd` (the directory itself included): our records and
/// sidecars, override_stat, user.rootlesscontainers, else the plain owner. Whiteouts and `.wh.`
/// names are nobody's. Does not leave the file system of the root.
base::Checked<Walked> read_tree(int root_fd, const Limits& limits, const Progress& progress = {});

}  // namespace images
