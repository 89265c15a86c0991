// Fuzzes what comes over the control socket: the lines, the requests in them, and what a mount asks
// for. The first byte says in pieces of which size the rest comes.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "daemon/mount_request.hpp"
#include "daemon/protocol.hpp"
#include "daemon/reload.hpp"

namespace {

void require(bool fine, const char* what) {
  if (fine) return;
  std::fprintf(stderr, "fuzz_control: %s\n", what);
  std::abort();
}

void try_request(const std::string& line) {
  const config::Config own;
  auto request = serving::parse_request(line);
  if (!request) return;
  // What is answered is one line of JSON that the other side can read.
  auto answer = serving::answer_line(request->args, "EINVAL");
  require(answer.find('\n') == answer.size() - 1, "an answer of more than one line");
  require(serving::answer_line(base::refuse(request->verb), "EINVAL").back() == '\n', "no end");
  (void)serving::parse_answer(line);
  (void)serving::settings_of(request->args, own);
  auto mount = serving::MountRequest::parse(request->args, own);
  if (!mount) return;
  require(serving::same_for_process(mount->options.config, own), "a mount changed the process");
  auto again = serving::MountRequest::parse(mount->as_json(), own);
  require(again && again->options.lowerdirs == mount->options.lowerdirs, "not the same twice");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr std::size_t kLimit = 4096;
  serving::LineBuffer lines(kLimit);
  std::size_t piece = data[0] + 1u, seen = 0;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  while (!rest.empty() && !lines.too_long()) {
    lines.add(rest.substr(0, piece));
    rest.remove_prefix(std::min(piece, rest.size()));
    while (auto line = lines.take()) {
      require(line->size() <= kLimit, "a line beyond the limit");
      seen += line->size() + 1;
      try_request(*line);
    }
  }
  require(seen <= size, "more than there was");
  return 0;
}
