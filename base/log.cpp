#include "base/log.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <memory>

namespace base::log {
namespace {

struct State {
  Level level = Level::info;
  std::shared_ptr<spdlog::logger> logger;
  std::function<void(Level, std::string_view)> sink;
};

std::shared_ptr<spdlog::logger> dressed(std::shared_ptr<spdlog::logger> logger) {
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  logger->set_level(spdlog::level::trace);
  logger->flush_on(spdlog::level::debug);
  return logger;
}

State& state() {
  static State one{Level::info,
                   dressed(std::make_shared<spdlog::logger>(
                       "usernetes-identity", std::make_shared<spdlog::sinks::stderr_sink_st>())),
                   {}};
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

void set_level(Level level) {
  state().level = level;
}
bool enabled(Level level) {
  return level >= state().level;
}

Checked<Unit> set_file(const std::string& path) {
  if (path.empty()) {
    state().logger = dressed(std::make_shared<spdlog::logger>(
        "usernetes-identity", std::make_shared<spdlog::sinks::stderr_sink_st>()));
    return Unit{};
  }
  mode_t old = ::umask(077);
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_st>(path);
    state().logger = dressed(std::make_shared<spdlog::logger>("usernetes-identity", sink));
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
  if (!enabled(level)) return;
  std::string text = fmt::format("event={}{}{}", event, details.empty() ? "" : " ", details);
  if (state().sink) return state().sink(level, text);
  state().logger->log(to_spdlog(level), spdlog::string_view_t(text.data(), text.size()));
}

bool Limiter::admit(std::uint64_t second) {
  if (second != second_) {
    second_ = second;
    used_ = 0;
  }
  if (used_ < burst_) {
    ++used_;
    return true;
  }
  ++suppressed_;
  return false;
}

std::uint64_t Limiter::take_suppressed() {
  return std::exchange(suppressed_, 0);
}

}  // namespace base::log
