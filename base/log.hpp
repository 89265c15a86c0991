// Owns: the process's one log sink. Called by: the edges (daemon/, cli/, session); libraries return
// errors. Never: lets a container or a peer fill the disk: every line passes a limit for its event,
// and lines that can be caused from outside pass a tighter Limiter of their own before.
// A line is `event=fuse.reply unique=7 err=0`: a constant event name first, then key=value.
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
std::string_view level_name(Level level);
void set_level(Level level);
bool enabled(Level level);
Level level();
/// Lines go to stderr (""), or are appended to this file (created 0600). Where stderr is the
/// journal (JOURNAL_STREAM) a line begins with its priority, "<6>", and has no time of its own.
Checked<Unit> set_file(const std::string& path);
/// Lines go nowhere: for a daemon which has let its stderr go and was given no file.
void set_silent();
/// Tests read lines here instead.
void set_sink(std::function<void(Level, std::string_view)> sink);
/// Writes `event=EVENT DETAILS`. At most 500 lines of an event at once and one a second from then
/// on; the next that passes says how many did not. Lines of level debug pass always: somebody who
/// asked for them looks at them.
void line(Level level, std::string_view event, std::string_view details = {});
/// The same for what a user has asked for, a report: passes always.
void report(Level level, std::string_view event, std::string_view details = {});
/// Lines that were not written since the start, whichever limit held them back.
std::uint64_t suppressed_lines();

/// What one place may write: `burst` lines at once, then one every `pause` seconds. (A limit for
/// each second alone would still be gigabytes a month.)
class Limiter {
 public:
  explicit Limiter(std::uint32_t burst, std::uint32_t pause = 10)
      : burst_(burst), pause_(pause), left_(burst) {}
  /// Whether a line may be written at this second (any monotonic count of seconds).
  bool admit(std::uint64_t second);
  /// Those not admitted since it was last asked.
  std::uint64_t take_suppressed();
  std::uint64_t suppressed() const { return suppressed_; }

 private:
  std::uint32_t burst_, pause_, left_;
  std::uint64_t refilled_ = 0;  // up to this second the lines that time gives are in left_
  std::uint64_t suppressed_ = 0;
};

/// Writes the line if the limiter admits it, with `suppressed=N` when others were not admitted
/// before it. For what a container, a layer or a peer can cause as often as it likes.
void limited(Limiter& limiter, Level level, std::string_view event, std::string_view details = {});
/// Says how many lines the limiter has held back, if any: for the end of what caused them.
void settle(Limiter& limiter, Level level, std::string_view event, std::string_view details = {});

}  // namespace base::log
