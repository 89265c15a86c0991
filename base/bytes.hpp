// Owns: nothing, it walks over somebody's bytes. Called by: whoever parses what came from outside.
// Never: reads past the end; a short buffer makes every later take fail as well.
#pragma once
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace base {

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  /// The next sizeof(T) bytes as a T, or nothing when fewer are left.
  template <class T>
  std::optional<T> take() {
    static_assert(std::is_trivially_copyable_v<T>);
    if (rest_.size() < sizeof(T)) return exhaust<T>();
    T value;
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_ = rest_.subspan(sizeof value);
    return value;
  }
  /// The bytes up to the next NUL, which is consumed; nothing when there is no NUL.
  std::optional<std::string_view> take_string() {
    const void* end = rest_.empty() ? nullptr : std::memchr(rest_.data(), 0, rest_.size());
    if (!end) return exhaust<std::string_view>();
    const char* text = reinterpret_cast<const char*>(rest_.data());
    std::string_view found(text, static_cast<const char*>(end) - text);
    rest_ = rest_.subspan(found.size() + 1);
    return found;
  }
  /// The next n bytes, or nothing.
  std::optional<std::span<const std::byte>> take_bytes(std::size_t n) {
    if (rest_.size() < n) return exhaust<std::span<const std::byte>>();
    auto found = rest_.first(n);
    rest_ = rest_.subspan(n);
    return found;
  }
  std::span<const std::byte> rest() const { return rest_; }

 private:
  template <class T>
  std::optional<T> exhaust() {
    rest_ = {};
    return std::nullopt;
  }
  std::span<const std::byte> rest_;
};

}  // namespace base
