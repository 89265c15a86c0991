#include "identity/id_list.hpp"

#include <unordered_set>

#include "identity/owner_record.hpp"

namespace identity {
namespace {

constexpr std::size_t kMaxText = 1 << 20;

std::string quoted(std::string_view text) {
  std::string shown = "\"";
  for (char c : text.substr(0, 40)) shown += c >= ' ' && c <= '~' && c != '"' ? c : '?';
  return shown + (text.size() > 40 ? "...\"" : "\"");
}

base::Checked<Id> one_id(std::string_view text) {
  if (auto id = parse_id(text)) return *id;
  if (text == "4294967295")
    return base::refuse("4294967295 is no id: it means \"leave unchanged\" to the kernel");
  return base::refuse(quoted(text) + " is not an id from 0 to 4294967294");
}

}  // namespace

base::Checked<std::vector<Id>> parse_id_list(std::string_view text) {
  constexpr std::string_view kSeparators = ", \t\n";
  if (text.size() > kMaxText) return base::refuse("a list of ids is longer than 1 MiB");
  std::vector<Id> ids;
  std::unordered_set<Id> known;
  for (;;) {
    const std::size_t begin = text.find_first_not_of(kSeparators);
    if (begin == text.npos) return ids;
    text.remove_prefix(begin);
    std::string_view item = text.substr(0, text.find_first_of(kSeparators));
    text.remove_prefix(item.size());
    const std::size_t dash = item.find('-');
    TRY(first, one_id(item.substr(0, dash)));
    Id last = first;
    if (dash != item.npos) {
      TRY(end, one_id(item.substr(dash + 1)));
      last = end;
    }
    if (last < first)
      return base::refuse(quoted(item) + " ends before it begins: write first-last");
    if (last - first >= kMaxListed || ids.size() + (last - first) >= kMaxListed)
      return base::refuse(quoted(item) + " makes this more than 65536 ids; no map can hold them");
    for (Id id = first;; ++id) {
      if (known.insert(id).second) ids.push_back(id);
      if (id == last) break;
    }
  }
}

std::string format_id_list(const std::vector<Id>& sorted) {
  std::string text;
  for (std::size_t i = 0; i < sorted.size();) {
    std::size_t end = i;
    while (end + 1 < sorted.size() && sorted[end + 1] == sorted[end] + 1) ++end;
    text += (text.empty() ? "" : ",") + format_id(sorted[i]);
    if (end > i) text += "-" + format_id(sorted[end]);
    i = end + 1;
  }
  return text;
}

}  // namespace identity
