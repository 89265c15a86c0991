// Owns: the process's one log sink. Called by: the edges (daemon/, cli/, session); libraries return
// errors. Never: blocks on a reader, or lets a container fill the disk: container-caused lines pass
// a Limiter. A line is `event=fuse.reply unique=7 err=0`: a constant event name first, then
// key=value.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace base::log {

enum class Level : std::uint8_t { debug, info, warning, error };

/// A value as it stands in a line: names from outside are quoted and their control bytes escaped.
std::string quoted(std::string_view raw);

/// Parses "debug", "info", "warning", "error".
Checked<Level> parse_level(std::string_view name);
void set_level(Level level);
bool enabled(Level level);
/// Lines go to stderr (""), or are appended to this file (created 0600).
Checked<Unit> set_file(const std::string& path);
/// Lines go nowhere: for a daemon which has let its stderr go and was given no file.
void set_silent();
/// Tests read lines here instead.
void set_sink(std::function<void(Level, std::string_view)> sink);
/// Writes `event=EVENT DETAILS`.
void line(Level level, std::string_view event, std::string_view details = {});

/// At most `burst` lines a second from one place; the next line that passes says how many did not.
class Limiter {
 public:
  explicit Limiter(std::uint32_t burst) : burst_(burst) {}
  /// Whether a line may be written at this second (any monotonic count of seconds).
  bool admit(std::uint64_t second);
  std::uint64_t take_suppressed();

 private:
  std::uint32_t burst_;
  std::uint32_t used_ = 0;
  std::uint64_t second_ = 0;
  std::uint64_t suppressed_ = 0;
};

}  // namespace base::log
