// Bundles and processes from anybody: reading, editing and reading again never fails otherwise than
// by a sentence, and what was edited can be read and is ours.
#include <sys/sysmacros.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "base/mountinfo.hpp"
#include "images/overlay_dirs.hpp"
#include "runtime/entered.hpp"
#include "runtime/invocation.hpp"
#include "runtime/nest.hpp"
#include "runtime/settings.hpp"
#include "runtime/spec.hpp"

namespace {

void check(bool right) {
  if (!right) std::abort();
}

void words(const std::string& text) {
  std::vector<std::string> all;
  std::size_t start = 0;
  while (start <= text.size() && all.size() < 64) {
    std::size_t end = std::min(text.size(), text.find('\n', start));
    all.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  std::vector<const char*> pointers;
  for (const std::string& word : all) pointers.push_back(word.c_str());
  (void)oci::read_invocation(pointers).config_path();
}

void bundle(oci::Json config, bool foreign) {
  if (!oci::put_back(config, "c")) return;
  auto spec = oci::read_spec(config, "c");
  if (!spec || spec->users == oci::Spec::Users::engine) return;
  oci::Nesting nesting{{{0, 0, 1}, {60000, 1633, 1}}, {{0, 0, 5}}, {}, {}, {}};
  if (foreign) {
    nesting.foreign = {"network", "ipc", "uts"};
    nesting.entered = {"network", "ipc"};
  }
  auto edited = oci::nest(config, nesting);
  if (!edited) return;
  for (const oci::Setting& setting : edited->settings)
    check(oci::setting_path(setting.name).find("/../") == std::string::npos);
  std::string text = oci::json_text(config);
  auto again = oci::parse_object(text, "again");
  if (!again) return;  // a bundle at the limit of depth or size
  check(oci::put_back(*again, "again").has_value());
  auto second = oci::read_spec(*again, "again");
  check(second.has_value() && second->users == oci::Spec::Users::ours);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  words(text);
  (void)images::merged_mounts(text, makedev(0, 5));
  (void)base::unescape_mount(text);
  auto json = oci::parse_object(text, "fuzz");
  if (!json) return 0;
  (void)oci::read_process(*json, "p");
  bundle(*json, false);
  bundle(*json, true);
  std::pair<oci::Id, oci::Id> slot{60000, 1633};
  oci::put_slots(*json, {&slot, 1}, {&slot, 1});
  return 0;
}
