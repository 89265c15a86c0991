#include "base/log.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <memory>

#include "base/clock.hpp"

namespace base::log {
namespace {

struct State {
  Level level = Level::info;
  std::shared_ptr<spdlog::logger> logger;
  std::function<void(Level, std::string_view)> sink;
  bool journal = false;  // stderr is a stream of journald
  std::map<std::string, Limiter, std::less<>> events;
  std::uint64_t suppressed = 0;
};

std::shared_ptr<spdlog::logger> dressed(std::shared_ptr<spdlog::logger> logger,
                                        const char* pattern = "%Y-%m-%dT%H:%M:%S.%e %l %v") {
  logger->set_pattern(pattern);
  logger->set_level(spdlog::level::trace);
  logger->flush_on(spdlog::level::debug);
  return logger;
}

// systemd.exec(5): "DEVICE:INODE" of the stream, since stderr may have been led elsewhere since.
bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat st;
  if (!stream || ::fstat(STDERR_FILENO, &st) != 0) return false;
  return fmt::format("{}:{}", st.st_dev, st.st_ino) == stream;
}

void use_stderr(State& state) {
  state.journal = stderr_is_journal();
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_st>();
  auto logger = std::make_shared<spdlog::logger>("usernetes-identity", sink);
  state.logger = state.journal ? dressed(std::move(logger), "%v") : dressed(std::move(logger));
}

State make_state() {
  State fresh;
  use_stderr(fresh);
  return fresh;
}

State& state() {
  static State one = make_state();
  return one;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warning: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

// <syslog.h>'s numbers, as sd-daemon(3) wants them.
int to_priority(Level level) {
  switch (level) {
    case Level::debug: return 7;
    case Level::info: return 6;
    case Level::warning: return 4;
    case Level::error: return 3;
  }
  return 3;
}

void write(Level level, std::string_view event, std::string_view details, std::uint64_t held) {
  std::string text = fmt::format("event={}{}{}", event, details.empty() ? "" : " ", details);
  if (held > 0) text += fmt::format(" suppressed={}", held);
  if (state().sink) return state().sink(level, text);
  if (state().journal) text.insert(0, fmt::format("<{}>", to_priority(level)));
  state().logger->log(to_spdlog(level), spdlog::string_view_t(text.data(), text.size()));
}

}  // namespace

std::string quoted(std::string_view raw) {
  std::string out = "\"";
  for (unsigned char c : raw.substr(0, 4096)) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += static_cast<char>(c);
    }
  }
  out += '"';
  return out;
}

Checked<Level> parse_level(std::string_view name) {
  if (name == "debug") return Level::debug;
  if (name == "info") return Level::info;
  if (name == "warning") return Level::warning;
  if (name == "error") return Level::error;
  return refuse("log level " + quoted(name) + ": allowed are debug, info, warning, error");
}

std::string_view level_name(Level level) {
  switch (level) {
    case Level::debug: return "debug";
    case Level::info: return "info";
    case Level::warning: return "warning";
    case Level::error: return "error";
  }
  return "error";
}

void set_level(Level level) {
  state().level = level;
}
bool enabled(Level level) {
  return level >= state().level;
}
Level level() {
  return state().level;
}

Checked<Unit> set_file(const std::string& path) {
  if (path.empty()) {
    use_stderr(state());
    return Unit{};
  }
  mode_t old = ::umask(077);
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_st>(path);
    state().logger = dressed(std::make_shared<spdlog::logger>("usernetes-identity", sink));
    state().journal = false;
  } catch (const spdlog::spdlog_ex& e) {
    ::umask(old);
    return refuse("log.file " + path + ": " + e.what());
  }
  ::umask(old);
  return Unit{};
}

void set_silent() {
  state().logger = dressed(std::make_shared<spdlog::logger>(
      "usernetes-identity", std::make_shared<spdlog::sinks::null_sink_st>()));
}

void set_sink(std::function<void(Level, std::string_view)> sink) {
  state().sink = std::move(sink);
}

void line(Level level, std::string_view event, std::string_view details) {
  constexpr std::uint32_t kBurst = 500, kPause = 1;
  if (!enabled(level)) return;
  if (level == Level::debug) return write(level, event, details, 0);
  auto found = state().events.find(event);  // as many as there are names in the program
  if (found == state().events.end())
    found = state().events.emplace(std::string(event), Limiter(kBurst, kPause)).first;
  limited(found->second, level, event, details);
}

void report(Level level, std::string_view event, std::string_view details) {
  if (enabled(level)) write(level, event, details, 0);
}

std::uint64_t suppressed_lines() {
  return state().suppressed;
}

bool Limiter::admit(std::uint64_t second) {
  if (left_ >= burst_ || pause_ == 0) {
    refilled_ = second;
  } else if (second >= refilled_ + pause_) {
    std::uint64_t more = (second - refilled_) / pause_;
    refilled_ += more * pause_;
    left_ = more > burst_ - left_ ? burst_ : left_ + static_cast<std::uint32_t>(more);
  }
  if (left_ > 0) {
    --left_;
    return true;
  }
  ++suppressed_;
  return false;
}

std::uint64_t Limiter::take_suppressed() {
  return std::exchange(suppressed_, 0);
}

void limited(Limiter& limiter, Level level, std::string_view event, std::string_view details) {
  if (!enabled(level)) return;
  if (!limiter.admit(monotonic_seconds())) {
    ++state().suppressed;
    return;
  }
  write(level, event, details, limiter.take_suppressed());
}

void settle(Limiter& limiter, Level level, std::string_view event, std::string_view details) {
  std::uint64_t held = limiter.take_suppressed();
  if (held > 0 && enabled(level)) write(level, event, details, held);
}

}  // namespace base::log
