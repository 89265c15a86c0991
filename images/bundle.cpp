#include "images/bundle.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/fd.hpp"
#include "base/io.hpp"
#include "images/files.hpp"
#include "images/overlay_dirs.hpp"
#include "images/plan_cache.hpp"

namespace images {
namespace {

using std::chrono::milliseconds;

// What a start may be delayed by: once for layers that nobody has looked at yet, each time for what
// can change.
constexpr milliseconds kLayersTime{5000}, kChangingTime{150};

}  // namespace

base::Checked<FoundIds> read_bundle_root(const std::string& root, const std::string& cache_dir) {
  base::Fd fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return base::refuse_errno(root);
  TRY(found, read_accounts(fd.get()));
  Limits changing{.time = kChangingTime};
  std::optional<OverlayDirs> dirs = overlay_dirs_of(root);
  if (!dirs) {
    if (is_fuse(fd.get())) return found;  // its owners are what somebody shows, and may be slots
    TRY(walked, read_tree(fd.get(), changing));
    found.add_all(walked.found);
    return found;
  }
  const PlanCache cache(cache_dir);
  Limits layers{.time = kLayersTime};
  for (const base::Fd& layer : dirs->lower) {
    TRY(ids, read_cached_layer(layer.get(), cache, layers, {}, CutLayer::take));
    found.add_all(ids.owners);
  }
  TRY(own, read_tree(dirs->own.get(), changing));
  found.add_all(own.found);
  return found;
}

std::string default_cache_dir() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache && *cache == '/') return std::string(cache) + "/usernetes-identity/plan";
  const char* home = std::getenv("HOME");
  return home && *home == '/' ? std::string(home) + "/.cache/usernetes-identity/plan" : "";
}

}  // namespace images
