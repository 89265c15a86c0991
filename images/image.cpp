#include "images/image.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "identity/owner_record.hpp"
#include "images/archive.hpp"
#include "images/files.hpp"
#include "images/manifests.hpp"
#include "images/overlay_dirs.hpp"
#include "images/pod_yaml.hpp"
#include "images/podman.hpp"

namespace images {
namespace {

struct Reference {
  std::string path;
  std::string tag;  // behind podman's "oci:PATH:TAG"
  bool storage_only = false;
};

Reference parse_reference(std::string text) {
  constexpr std::string_view kFiles[] = {"oci-archive:", "docker-archive:", "oci:"};
  constexpr std::string_view kStorage = "containers-storage:";
  if (text.starts_with(kStorage)) return {text.substr(kStorage.size()), "", true};
  for (std::string_view prefix : kFiles) {
    if (!text.starts_with(prefix)) continue;
    text.erase(0, prefix.size());
    const std::size_t colon = text.find(':', text.rfind('/') == text.npos ? 0 : text.rfind('/'));
    if (colon == text.npos) return {text, ""};
    // A docker archive's name is of no use here: all its images are read.
    const std::string tag = prefix == "docker-archive:" ? "" : text.substr(colon + 1);
    return {text.substr(0, colon), tag};
  }
  return {text, ""};
}

bool exists_in(int root_fd, const char* name) {
  struct stat status {};
  return ::fstatat(root_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode);
}

// podman's `merged` shows slots; what they stand for is in its layers.
base::Checked<Image> read_container(int merged, const OverlayDirs& dirs,
                                    const ReadOptions& options) {
  Image image;
  image.kind = "podman container";
  image.layers = static_cast<unsigned>(dirs.lower.size() + 1);
  TRY(accounts, read_accounts(merged));
  image.found = std::move(accounts);
  const PlanCache cache(options.cache_dir);
  Limits limits = options.limits;
  for (const base::Fd& lower : dirs.lower) {
    bool cached = false;
    TRY(ids, read_cached_layer(lower.get(), cache, limits, options.progress, CutLayer::read_again,
                               &cached));
    image.from_cache += cached;
    image.found.add_all(ids.owners);
  }
  TRY(own, read_tree(dirs.own.get(), limits, options.progress));
  image.found.add_all(own.found);
  return image;
}

base::Checked<Image> read_rootfs(const std::string& path, int fd, const ReadOptions& options) {
  if (auto dirs = overlay_dirs_of(path)) return read_container(fd, *dirs, options);
  TRY(layer, read_layer(fd, options.limits, options.progress));
  Image image;
  image.kind = "root directory";
  image.found = flatten(layer);
  return image;
}

base::Checked<Image> read_bundle(const std::string& path, int fd, const ReadOptions& options) {
  const std::string name = path + "/config.json";
  TRY(text, read_text_in(fd, "config.json", kMostManifest, name));
  TRY(config, parse_bundle_config(text, name));
  const std::string root = config.root.starts_with('/') ? config.root : path + "/" + config.root;
  base::Fd root_fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root_fd.valid()) return base::refuse(root + ": " + reason(base::Errno{errno}));
  TRY(image, read_rootfs(root, root_fd.get(), options));
  image.kind = "bundle";
  for (Id id : config.uids) image.found.uids.add(id, Weight::process, name + ": process.user");
  for (Id id : config.gids) image.found.gids.add(id, Weight::process, name + ": process.user");
  return image;
}

base::Checked<Image> read_directory(const std::string& path, const std::string& tag,
                                    const ReadOptions& options) {
  base::Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return base::refuse(path + ": " + reason(base::Errno{errno}));
  if (exists_in(fd.get(), "oci-layout")) return read_layout(path, fd.get(), tag, options);
  if (exists_in(fd.get(), "config.json")) return read_bundle(path, fd.get(), options);
  return read_rootfs(path, fd.get(), options);
}

base::Checked<Image> read_pod(const std::string& path, int fd) {
  TRY(text, read_text(fd, 4 << 20, path));
  TRY(pod, parse_pod(text, path));
  Image image;
  image.kind = "pod";
  image.pod = true;
  image.found = std::move(pod.found);
  for (const std::string& name : pod.images)
    image.found.note(path + ": names the image " + name + ", which was not read; name it as well");
  return image;
}

// YAML or JSON of Kubernetes, by its name or by its first words.
bool is_pod(const std::string& path, int fd) {
  for (const char* ending : {".yaml", ".yml"})
    if (path.ends_with(ending)) return true;
  std::array<char, 4096> begin;
  const ssize_t got = ::pread(fd, begin.data(), begin.size(), 0);
  if (got <= 0) return false;
  const std::string_view text(begin.data(), static_cast<std::size_t>(got));
  return text.find('\0') == text.npos && text.find("apiVersion") != text.npos;
}

base::Checked<Image> read_file(const std::string& path, const std::string& tag,
                               const ReadOptions& options) {
  auto fd = open_regular(path);
  if (!fd) return base::refuse(path + ": " + reason(fd.error()));
  if (is_pod(path, fd->get())) return read_pod(path, fd->get());
  return read_archive(path, fd->get(), tag, options);
}

}  // namespace

void add_user(FoundIds& found, const std::string& user, const std::string& origin) {
  const std::size_t colon = user.find(':');
  if (auto uid = identity::parse_id(user.substr(0, colon)))
    found.uids.add(*uid, Weight::process, origin);
  if (colon == user.npos) return;
  if (auto gid = identity::parse_id(user.substr(colon + 1)))
    found.gids.add(*gid, Weight::process, origin);
}

base::Checked<Image> read_image(const std::string& reference, const ReadOptions& options) {
  const Reference wanted = parse_reference(reference);
  struct stat status {};
  const bool there = !wanted.storage_only && ::stat(wanted.path.c_str(), &status) == 0;
  // As podman has it: what looks like a path is one, all else is a name first.
  const bool path = wanted.path.starts_with('/') || wanted.path.starts_with('.');
  if (!(there && path)) {
    TRY(image, read_podman_image(wanted.path, podman_storages(), options));
    if (image) return std::move(*image);
  }
  if (there && S_ISDIR(status.st_mode)) return read_directory(wanted.path, wanted.tag, options);
  if (there) return read_file(wanted.path, wanted.tag, options);
  return base::refuse(reference +
                      ": there is no such directory, archive or pod, and no such image in podman's "
                      "storage (podman images lists them; podman pull fetches one)");
}

}  // namespace images
