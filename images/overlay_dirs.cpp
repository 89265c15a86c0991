#include "images/overlay_dirs.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/mountinfo.hpp"
#include "images/files.hpp"

namespace images {
namespace {

constexpr std::size_t kMostLower = 64 * 1024;  // bytes of the file `lower`: 30 for each layer
constexpr std::size_t kMostMounts = 16 * 1024 * 1024;  // bytes of mountinfo
// A layer that had less than this because others took all the time gets another chance.
constexpr std::chrono::milliseconds kFairTime{1000};

base::Fd open_directory(int at, const std::string& name) {
  return base::Fd(::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// "l/ABC" is a link to "../LAYERID/diff": a name of c/storage's that keeps mount options short.
base::Fd open_lower(int storage, const std::string& name) {
  if (!name.starts_with("l/") || name.find('/', 2) != name.npos) return base::Fd();
  std::array<char, 256> target;
  const ssize_t got = ::readlinkat(storage, name.c_str(), target.data(), target.size());
  if (got <= 0 || got == static_cast<ssize_t>(target.size())) return base::Fd();
  std::string_view text(target.data(), static_cast<std::size_t>(got));
  if (!text.starts_with("../") || !text.ends_with("/diff")) return base::Fd();
  text.remove_prefix(3);
  text.remove_suffix(5);
  if (text.empty() || text.front() == '.' || text.find('/') != text.npos) return base::Fd();
  base::Fd layer = open_directory(storage, std::string(text));
  return layer.valid() ? open_directory(layer.get(), "diff") : base::Fd();
}

// podman build hands over a bind mount of …/merged; "" when it is not one.
std::string same_directory_as_merged(const std::string& path) {
  base::Fd table(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  struct stat here {
  }, there{};
  if (!table.valid() || ::stat(path.c_str(), &here) != 0) return "";
  auto text = read_text(table.get(), kMostMounts, "mountinfo");
  if (!text) return "";
  for (const std::string& mount : merged_mounts(*text, here.st_dev))
    if (::stat(mount.c_str(), &there) == 0 && there.st_dev == here.st_dev &&
        there.st_ino == here.st_ino)
      return mount;
  return "";
}

}  // namespace

std::vector<std::string> merged_mounts(std::string_view mountinfo, dev_t device) {
  const std::string wanted = std::to_string(major(device)) + ":" + std::to_string(minor(device));
  std::vector<std::string> paths;
  for (const base::MountLine& line : base::mount_lines(mountinfo))
    if (line.device == wanted && line.root == "/" && line.point.ends_with("/merged"))
      paths.emplace_back(line.point);
  return paths;
}

std::optional<OverlayDirs> overlay_dirs_of(const std::string& merged) {
  std::string path = merged;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  if (!path.ends_with("/merged")) path = same_directory_as_merged(path);
  if (path.empty()) return std::nullopt;
  path.resize(path.size() - 7);
  base::Fd container(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  base::Fd storage = container.valid() ? open_directory(container.get(), "..") : base::Fd();
  if (!storage.valid()) return std::nullopt;
  OverlayDirs dirs;
  dirs.own = open_directory(container.get(), "diff");
  auto lower = read_text_in(container.get(), "lower", kMostLower, "lower");
  if (!lower || !dirs.own.valid()) return std::nullopt;
  for (std::size_t begin = 0; begin < lower->size();) {
    const std::size_t end = std::min(lower->find_first_of(":\n", begin), lower->size());
    base::Fd layer = open_lower(storage.get(), lower->substr(begin, end - begin));
    if (!layer.valid() || dirs.lower.size() >= kMostLayers) return std::nullopt;
    dirs.lower.push_back(std::move(layer));
    begin = end + 1;
  }
  return dirs;
}

base::Checked<LayerIds> read_cached_layer(int fd, const PlanCache& cache, Limits& limits,
                                          const Progress& progress, CutLayer cut,
                                          bool* from_cache) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return base::refuse("a layer's directory can not be read");
  const std::string key = cache_key(status);
  if (auto known = cache.load(key); known && (known->complete || cut == CutLayer::take)) {
    if (from_cache) *from_cache = true;
    return std::move(*known);
  }
  const auto begin = std::chrono::steady_clock::now();
  const bool had_time = limits.time >= kFairTime;
  TRY(layer, read_layer(fd, limits, progress));
  if (layer.complete || had_time) cache.store(key, layer);
  const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begin);
  limits.time = std::max(limits.time - spent, std::chrono::milliseconds(1));
  return layer;
}

}  // namespace images
