// Fuzzes: a settings file.
#include <cstdlib>
#include <string_view>

#include "config/toml.hpp"

extern "C" int LLVMFuzzerTestOneInput(unsigned char const* data, std::size_t size) {
  auto const c = config::load_toml({reinterpret_cast<char const*>(data), size}, "fuzz.toml");
  if (!c) {
    if (!c.error().message.starts_with("fuzz.toml:")) std::abort();
    return 0;
  }
  if (c->identity.rule < 1 || c->identity.rule > 2) std::abort();
  if (c->identity.window_first > c->identity.window_last) std::abort();
  if (!(c->fuse.timeout >= 0 && c->fuse.timeout <= 1e9)) std::abort();
  return 0;
}
