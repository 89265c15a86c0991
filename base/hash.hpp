// Owns: nothing; it makes a short name of a long text. Called by: whoever names a file or a mark
// after what it is about. Never: a guard against somebody who looks for two texts of one hash.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace base {

/// FNV-1a of 64 bits, as 16 hexadecimal digits.
inline std::string fnv64_hex(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ull;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3ull;
  std::string digits(16, '0');
  for (std::size_t i = 16; i-- > 0; hash >>= 4) digits[i] = "0123456789abcdef"[hash & 15];
  return digits;
}

}  // namespace base
