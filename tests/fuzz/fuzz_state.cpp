// Fuzzes what comes over the socket for runtimes: a ContainerProcessState, and our metadata in it.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "seccomp/state_message.hpp"

namespace {

void require(bool fine, const char* what) {
  if (fine) return;
  std::fprintf(stderr, "fuzz_state: %s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto state = seccomp::parse_state(text);
  if (!state) {
    require(!state.error().message.empty(), "refused without a reason");
    return 0;
  }
  const seccomp::ContainerInfo& info = state->info;
  require(!info.id.empty() && info.id.size() <= 256, "a name of no size or any size");
  require(info.pid >= 0, "a process number below 0");
  require(seccomp::mode_named(seccomp::mode_name(info.mode)) == info.mode, "no mode");
  require(seccomp::profile_named(seccomp::profile_name(info.profile)) == info.profile,
          "no profile");
  require(!seccomp::metadata_text(info).empty(), "no metadata");
  return 0;
}
