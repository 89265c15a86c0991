#include "base/mountinfo.hpp"

#include <algorithm>

namespace base {
namespace {

std::string_view take_until(std::string_view& text, char end) {
  std::string_view taken = text.substr(0, text.find(end));
  text.remove_prefix(std::min(taken.size() + 1, text.size()));
  return taken;
}

}  // namespace

std::vector<MountLine> mount_lines(std::string_view mountinfo) {
  constexpr std::string_view kSeparator = " - ";
  std::vector<MountLine> lines;
  while (!mountinfo.empty()) {
    std::string_view text = take_until(mountinfo, '\n');
    MountLine line;
    line.id = take_until(text, ' ');
    take_until(text, ' ');  // the mount it is on
    line.device = take_until(text, ' ');
    line.root = take_until(text, ' ');
    line.point = take_until(text, ' ');
    if (const std::size_t at = text.find(kSeparator); at != text.npos) {
      text.remove_prefix(at + kSeparator.size());
      line.type = take_until(text, ' ');
    }
    lines.push_back(line);
  }
  return lines;
}

std::string unescape_mount(std::string_view written) {
  std::string out;
  auto digit = [&](std::size_t i) {
    return i < written.size() && written[i] >= '0' && written[i] <= '7';
  };
  for (std::size_t i = 0; i < written.size(); ++i) {
    if (written[i] == '\\' && digit(i + 1) && digit(i + 2) && digit(i + 3)) {
      out += static_cast<char>((written[i + 1] - '0') * 64 + (written[i + 2] - '0') * 8 +
                               written[i + 3] - '0');
      i += 3;
    } else {
      out += written[i];
    }
  }
  return out;
}

}  // namespace base
