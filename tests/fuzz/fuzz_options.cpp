// Fuzzes: the mount_program's command line. Each line of the input is one argument.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "config/mount_options.hpp"

extern "C" int LLVMFuzzerTestOneInput(unsigned char const* data, std::size_t size) {
  std::string const text(reinterpret_cast<char const*>(data), size);
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= text.size();) {
    std::size_t const end = std::min(text.find('\n', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  std::vector<char const*> argv;
  for (std::string const& word : words) argv.push_back(word.c_str());

  auto const o = config::parse_mount_arguments(argv, {});
  if (!o) {
    if (o.error().message.empty()) std::abort();
    return 0;
  }
  if (!o->help && !o->version && (o->lowerdirs.empty() || o->mountpoint.empty())) std::abort();
  if (!(o->timeout >= 0 && o->timeout <= 1e9)) std::abort();
  if ((o->flags_set & o->flags_clear) != 0) std::abort();
  if (o->xattr_permissions < 0 || o->xattr_permissions > 2) std::abort();
  for (config::IdMapLine const& line : o->uidmapping) {
    if (line.count == 0 || line.count > identity::kNoId - line.shown) std::abort();
  }
  return 0;
}
