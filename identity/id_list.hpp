// Owns: the text in which people list ids: "60000,70000-70010". Called by: cli (--id, map), images
// (annotation of a pod), config's `ids`. Never: returns more ids than kMaxListed, whatever a range
// claims.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "identity/hash_slot.hpp"

namespace identity {

/// Ids of one list, ranges counted in full. No map could hold more (340 lines, pools of 65,536).
inline constexpr std::size_t kMaxListed = 65536;

/// Ids and ranges "first-last", separated by commas, blanks or both; in the order given, duplicates
/// left out. An empty text is an empty list. The message quotes what is wrong and says why.
base::Checked<std::vector<Id>> parse_id_list(std::string_view text);

/// The inverse for sorted ids, runs folded: "0,1000-1015,60000".
std::string format_id_list(const std::vector<Id>& sorted);

}  // namespace identity
