// Fuzzes: passwd, group and sub-id files in pieces of any size, lists of ids, remembered layers.
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "identity/id_list.hpp"
#include "identity/sidecar.hpp"
#include "images/accounts.hpp"
#include "images/plan_cache.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

images::FoundIds read(images::AccountFile kind, std::string_view text, std::size_t piece) {
  images::FoundIds found;
  images::AccountReader reader(kind, found);
  while (!text.empty() && reader.feed(text.substr(0, piece)))
    text.remove_prefix(std::min(piece, text.size()));
  reader.finish();
  return found;
}

void accounts(std::string_view text) {
  for (int kind = 0; kind < 4; ++kind) {
    const auto file = static_cast<images::AccountFile>(kind);
    const images::FoundIds whole = read(file, text, text.size() + 1);
    require(whole == read(file, text, 7));
    require(whole.notes.size() <= images::FoundIds::kMostNotes + 1);
    require(!whole.uids.facts().contains(identity::kNoId));
    require(!whole.gids.facts().contains(identity::kNoId));
  }
}

void lists(std::string_view text) {
  auto ids = identity::parse_id_list(text);
  if (!ids) return require(!ids.error().message.empty());
  require(ids->size() <= identity::kMaxListed);
  std::sort(ids->begin(), ids->end());
  const auto again = identity::parse_id_list(identity::format_id_list(*ids));
  require(again && *again == *ids);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(unsigned char const* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<char const*>(data), size);
  accounts(text);
  lists(text);
  if (auto ids = identity::parse_sidecar(text))
    require(identity::format_sidecar(ids->first, ids->second) == text);
  if (auto layer = images::parse_cache(text)) {
    auto again = images::parse_cache(images::cache_text(*layer));
    require(again && images::cache_text(*again) == images::cache_text(*layer));
  }
  return 0;
}
