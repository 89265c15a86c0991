#include "identity/hash_slot.hpp"

#include <charconv>

namespace identity {
namespace {

// 32-bit FNV-1a of the decimal spelling, because that is what the seed hashed and what lies on
// disk.
std::uint32_t fnv1a_decimal(Id id) {
  char text[10];
  char* const end = std::to_chars(text, text + sizeof text, id).ptr;
  std::uint32_t hash = 2166136261u;
  for (char const* c = text; c != end; ++c) {
    hash ^= static_cast<unsigned char>(*c);
    hash *= 16777619u;
  }
  return hash;
}

bool is_nobody(Id id, Rule rule) {
  if (id == kNoId || id == kNobody || id == kNobody + 1) return true;
  return rule == Rule::seed && id > kNobody;
}

}  // namespace

Id hash_slot(Id true_id, HashRange const& range, Rule rule) {
  if (true_id == 0 || range.size == 0) return 0;
  if (is_nobody(true_id, rule)) return range.nobody;
  return range.min + fnv1a_decimal(true_id) % range.size;
}

}  // namespace identity
