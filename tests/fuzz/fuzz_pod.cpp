// Fuzzes: the YAML of pods.
#include <cstdlib>
#include <string_view>

#include "images/pod_yaml.hpp"

extern "C" int LLVMFuzzerTestOneInput(unsigned char const* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<char const*>(data), size);
  auto pod = images::parse_pod(text, "pod.yaml");
  if (!pod && !pod.error().message.starts_with("pod.yaml")) std::abort();
  if (pod && pod->found.uids.facts().contains(identity::kNoId)) std::abort();
  if (pod && pod->images.size() > 50) std::abort();
  return 0;
}
