// Owns: taking a text of /proc/PID/mountinfo (proc(5)) apart. Called by: daemon/detach, cli/detach,
// seccomp/store_places, images/overlay_dirs. Never: reads a file, or judges: what a line lacks is
// empty, and each caller says what it can not do without.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace base {

/// Words of one line, as they are written. They live as long as the text.
struct MountLine {
  std::string_view id;
  std::string_view device;  // "0:57"
  std::string_view root;    // of the file system, what is mounted; escaped
  std::string_view point;   // where it is mounted; escaped
  std::string_view type;    // empty: the separator of the optional fields is missing
};

/// One for each line; what is mounted later, and on another one, comes later.
std::vector<MountLine> mount_lines(std::string_view mountinfo);

/// A root or a mount point as it is: "\040" is a blank, and so on.
std::string unescape_mount(std::string_view written);

}  // namespace base
