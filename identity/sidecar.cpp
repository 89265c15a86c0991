#include "identity/sidecar.hpp"

#include <charconv>
#include <cstdint>

namespace identity {
namespace {

constexpr std::size_t kDigits = 10;

std::uint64_t fnv64(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ull;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3ull;
  return hash;
}

std::string hexadecimal(std::uint64_t value) {
  std::string digits(16, '0');
  for (std::size_t i = 16; i-- > 0; value >>= 4) digits[i] = "0123456789abcdef"[value & 15];
  return digits;
}

std::string ten_digits(Id id) {
  std::string digits = std::to_string(id);
  return std::string(kDigits - digits.size(), '0') + digits;
}

bool read_digits(std::string_view text, Id& id) {
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, id);
  return error == std::errc{} && stop == end && id != kNoId;
}

}  // namespace

std::string sidecar_name(std::string_view entry) {
  std::string name(kSidecarPrefix);
  // What begins like a hash is hashed as well, or it could be made to name another's sidecar.
  if (entry.size() + name.size() <= 255 && !entry.starts_with('#')) return name.append(entry);
  name += "#" + hexadecimal(fnv64(entry)) +
          hexadecimal(fnv64(std::string(entry.rbegin(), entry.rend())));
  return name.append(entry.substr(0, 180));
}

base::Result<std::pair<Id, Id>> parse_sidecar(std::string_view text) {
  Id uid = 0, gid = 0;
  if (text.size() != kSidecarSize || text[kDigits] != ':' || text.back() != '\n' ||
      !read_digits(text.substr(0, kDigits), uid) ||
      !read_digits(text.substr(kDigits + 1, kDigits), gid))
    return base::fail(EINVAL);
  return std::pair{uid, gid};
}

std::string format_sidecar(Id uid, Id gid) {
  return ten_digits(uid) + ":" + ten_digits(gid) + "\n";
}

}  // namespace identity
