#include "base/io.hpp"

#include <unistd.h>

#include <array>
#include <cstring>

namespace base {

tl::unexpected<Failure> refuse_errno(const std::string& what) {
  return refuse(what + ": " + std::strerror(errno));
}

Result<std::string> read_all(int fd, std::size_t most) {
  std::string text;
  std::array<char, 65536> part;
  for (;;) {
    const ssize_t got = ::read(fd, part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno();
    if (got == 0) return text;
    text.append(part.data(), static_cast<std::size_t>(got));
    if (text.size() > most) return fail(EFBIG);
  }
}

Result<Unit> write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno();
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return Unit{};
}

}  // namespace base
