#include "cli/table.hpp"

#include <algorithm>
#include <cstdio>

namespace cli {
namespace {

std::string formatted(const char* form, double number) {
  char text[64];
  std::snprintf(text, sizeof text, form, number);
  return text;
}

// Bytes of the UTF-8 character at the beginning; 0: there is none, or one that must not be shown.
std::size_t character(std::string_view text) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return byte(0) >= 0x20 && byte(0) != 0x7f ? 1 : 0;
  std::size_t length = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : 2;
  if (byte(0) < 0xc2 || byte(0) > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  if (byte(0) == 0xc2 && byte(1) < 0xa0) return 0;  // C1 controls
  // Marks that turn the direction of what follows: U+202A..E, U+2066..9.
  bool bidi = byte(0) == 0xe2 && ((byte(1) == 0x80 && byte(2) >= 0xaa && byte(2) <= 0xae) ||
                                  (byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9));
  return bidi ? 0 : length;
}

std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace

std::string printable(std::string_view raw) {
  std::string out;
  while (!raw.empty()) {
    std::size_t length = character(raw);
    if (length == 0) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(raw.front()));
      out += escaped;
      length = 1;
    } else {
      out += raw.substr(0, length);
    }
    raw.remove_prefix(length);
  }
  return out;
}

std::string duration(double seconds) {
  if (!(seconds >= 0)) return "?";
  if (seconds == 0) return "0 s";
  if (seconds < 1) return formatted("%.0f ms", seconds * 1000);
  if (seconds < 60) return formatted("%.1f s", seconds);
  struct Unit {
    double seconds;
    const char* name;
    double part;
    const char* part_name;
  };
  constexpr Unit units[] = {
      {86400, " d ", 3600, " h"}, {3600, " h ", 60, " min"}, {60, " min ", 1, " s"}};
  for (const Unit& unit : units) {
    if (seconds < unit.seconds) continue;
    auto whole = static_cast<std::uint64_t>(std::min(seconds, 1e15) / unit.seconds);
    auto rest = static_cast<std::uint64_t>(
        (std::min(seconds, 1e15) - static_cast<double>(whole) * unit.seconds) / unit.part);
    return std::to_string(whole) + unit.name + std::to_string(rest) + unit.part_name;
  }
  return {};
}

std::string bytes(double count) {
  const char* const forms[] = {"%.0f B", "%.1f KiB", "%.1f MiB", "%.1f GiB", "%.1f TiB"};
  std::size_t unit = 0;
  for (; count >= 1024 && unit + 1 < std::size(forms); ++unit) count /= 1024;
  return formatted(forms[unit], count);
}

Table::Table(std::vector<std::string> titles) {
  for (std::string& title : titles) {
    left_.push_back(title.starts_with('<'));
    if (left_.back()) title.erase(0, 1);
  }
  rows_.push_back(std::move(titles));
}

std::string Table::text() const {
  std::vector<std::size_t> widths(left_.size());
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  std::string out;
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < widths.size(); ++i) {
      std::string blanks(widths[i] - width(row[i]), ' ');
      out += (left_[i] ? row[i] + blanks : blanks + row[i]) + "  ";
    }
    out.erase(out.find_last_not_of(' ') + 1);
    out += "\n";
  }
  return out;
}

}  // namespace cli
