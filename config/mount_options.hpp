// Owns: the command line of the mount_program: fuse-overlayfs's options, names and tolerance.
// Called by: cli (mount_program verb), tests/fuzz.
// Never: opens or normalises a path, or writes to stderr: some callers take any stderr for failure.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/config.hpp"
#include "identity/hash_slot.hpp"

namespace config {

/// Ids [disk, disk+count) of the layers are shown as [shown, shown+count).
struct IdMapLine {
  identity::Id disk = 0;
  identity::Id shown = 0;
  std::uint32_t count = 0;
  friend bool operator==(IdMapLine const&, IdMapLine const&) = default;
};

enum class Xino : std::uint8_t { off, automatic, on };

struct MountOptions {
  std::vector<std::string> lowerdirs;  // top first, unescaped, otherwise as given
  std::string upperdir;                // empty: read-only view
  std::string workdir;
  std::string mountpoint;
  std::string source;
  std::vector<IdMapLine> uidmapping, gidmapping;  // empty: every id is itself
  bool squash_to_root = false;
  std::optional<identity::Id> squash_to_uid, squash_to_gid;
  int xattr_permissions = 0;  // 0, 1 or 2
  bool static_nlink = false;
  bool noacl = false;
  bool volatile_fsync = false;  // volatile, or fsync=0
  bool noxattrs = false;
  bool ino32 = false;
  bool fast_ino = false;
  double timeout = 1e9;  // seconds, 0..1e9
  bool writeback = true;
  bool redirect_create = true;  // redirect_dir=on
  bool redirect_follow = true;  // redirect_dir=on, follow or off; nofollow clears it
  Xino xino = Xino::automatic;
  bool foreground = false;  // -f; -d implies it
  bool debug = false;
  bool help = false;
  bool version = false;
  unsigned long flags_set = 0;    // MS_* that the caller asked for (mount(2))
  unsigned long flags_clear = 0;  // MS_* that the caller asked not to have: dev, suid, rw, ...
  bool saw_allow_other = false;
  bool saw_allow_root = false;
  bool saw_default_permissions = false;
  std::vector<std::string> fuse_options;  // allow_other, max_read=N, ...: for the kernel or libfuse
  std::vector<std::string> ignored;       // unknown or without meaning here; to be logged at debug
  Config
      config;  // as given, with this mount's `-o section.key=value`, timeout=, writeback= applied
};

/// Parses the arguments after the program's name. Refuses with a message that names the option and
/// its value; what fuse-overlayfs merely grumbles about is collected in `ignored`. With help or
/// version set nothing else is required. Linear in the length of the arguments.
base::Checked<MountOptions> parse_mount_arguments(std::span<char const* const> arguments,
                                                  Config const& config);
/// Usage and all options, from the table that the parser uses. Ends with a newline.
std::string mount_help();

}  // namespace config
