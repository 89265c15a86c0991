// Owns: the directories of one container in podman's overlay storage. Called by: images/bundle,
// images/podman. Never: goes to a layer that is not in the same storage, or reads a layer twice
// that has not changed.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "images/layer.hpp"
#include "images/plan_cache.hpp"

namespace images {

/// Layers of one image or container; c/storage itself stops at 500.
inline constexpr std::size_t kMostLayers = 1000;

struct OverlayDirs {
  std::vector<base::Fd> lower;  // the uppermost first
  base::Fd own;                 // the layer in which the container's changes are
};
/// Of a root directory …/overlay/ID/merged, or a bind mount of one; nothing when it is neither.
std::optional<OverlayDirs> overlay_dirs_of(const std::string& merged);

/// The mount points …/merged of this file system's root in a text of /proc/PID/mountinfo (proc(5)).
/// Names with blanks stay escaped.
std::vector<std::string> merged_mounts(std::string_view mountinfo, dev_t device);

/// What to do with a reading of which the cache knows that it was cut.
enum class CutLayer : bool { read_again, take };
/// The ids of an unpacked layer that does not change any more.
base::Checked<LayerIds> read_cached_layer(int fd, const PlanCache& cache, Limits& limits,
                                          const Progress& progress, CutLayer cut,
                                          bool* from_cache = nullptr);

}  // namespace images
