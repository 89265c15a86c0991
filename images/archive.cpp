#include "images/archive.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>

#include "images/files.hpp"
#include "images/manifests.hpp"
#include "images/oci.hpp"
#include "images/plan_cache.hpp"
#include "images/tar.hpp"

namespace images {
namespace {

constexpr std::size_t kMostTexts = 32 << 20;  // bytes of all manifests and configs together

// What the first pass over an archive finds: its small JSON files, and what it would be if it were
// the root of an image.
struct Contents {
  std::map<std::string, std::string> texts;
  std::size_t text_bytes = 0;
  LayerIds whole;
  bool empty = true;
  bool root_like = false;
};

bool may_be_json(const Tar::Entry& entry) {
  return entry.regular && entry.size <= kMostManifest &&
         (entry.path.starts_with("blobs/") || entry.path == "oci-layout" ||
          (entry.path.ends_with(".json") && entry.path.find('/') == std::string::npos));
}

bool is_root_entry(const std::string& path) {
  return path.starts_with("etc/") || path.starts_with("usr/") || path == "bin" ||
         path.starts_with("bin/");
}

base::Checked<Contents> look_through(Tar& tar, Meter& meter) {
  Contents contents;
  for (;;) {
    TRY(entry, tar.next());
    if (!entry) break;
    contents.empty = false;
    contents.root_like = contents.root_like || is_root_entry(entry->path);
    if (!may_be_json(*entry)) {
      take_entry(tar, *entry, contents.whole);
      continue;
    }
    add_owner(contents.whole.owners, tar.owner(*entry).value_or(Owner{}), "/" + entry->path);
    auto text = tar.read_all(kMostManifest);
    if (!text || (entry->path.starts_with("blobs/") && !text->starts_with('{'))) continue;
    contents.text_bytes += text->size();
    if (contents.text_bytes > kMostTexts) continue;
    contents.texts.insert_or_assign(entry->path, std::move(*text));
  }
  if (meter.stopped()) {
    contents.whole.owners.note(meter.why());
    contents.whole.complete = false;
  }
  return contents;
}

base::Checked<std::vector<ImageParts>> docker_images(const Contents& contents,
                                                     const std::string& name) {
  TRY(images, parse_docker_manifest(contents.texts.at("manifest.json"), name + "/manifest.json"));
  std::vector<ImageParts> parts;
  for (DockerImage& image : images) {
    ImageParts one{std::move(image.layers), {}};
    if (auto config = contents.texts.find(image.config); config != contents.texts.end()) {
      TRY(user, parse_config_user(config->second, name + "/" + image.config));
      one.user = std::move(user);
    }
    parts.push_back(std::move(one));
  }
  return parts;
}

base::Checked<std::vector<ImageParts>> oci_images(const Contents& contents, const std::string& tag,
                                                  const std::string& name) {
  auto fetch = [&](const std::string& path) -> base::Checked<std::string> {
    auto found = contents.texts.find(path);
    if (found == contents.texts.end())
      return base::refuse(name + "/" + path + ": is not in the archive");
    return found->second;
  };
  return follow_index(fetch, tag, name);
}

// The layers of all images of one archive, as they are read.
class Layers {
 public:
  Layers(const std::vector<ImageParts>& images, const std::string& name) {
    const bool one = images.size() == 1;
    for (const ImageParts& image : images) {
      add_user(stack_.result().owners, image.user, "user of " + name);
      for (std::size_t i = 0; i < image.layers.size(); ++i)
        parts_[image.layers[i]] = {.height = i + 1, .alone = one};
    }
  }
  std::size_t count() const { return parts_.size(); }
  bool wants(const std::string& path) const { return parts_.contains(path); }
  void see(const std::string& path) { parts_[path].seen = true; }
  void take(const std::string& path, LayerIds ids) {
    const Part& part = parts_[path];
    // Of several images nobody says which will run: the accounts of all layers count.
    if (!part.alone) ids = {flatten(ids), {}, ids.complete};
    stack_.add(std::move(ids), part.height);
  }
  /// A layer that was not there; empty: all were.
  std::string missing() const {
    for (const auto& [path, part] : parts_)
      if (!part.seen) return path;
    return "";
  }
  std::vector<std::string> paths() const {
    std::vector<std::string> paths;
    for (const auto& [path, part] : parts_) paths.push_back(path);
    return paths;
  }
  LayerIds& result() { return stack_.result(); }

 private:
  struct Part {
    std::size_t height = 0;
    bool alone = true;  // there is one image only
    bool seen = false;
  };
  std::map<std::string, Part> parts_;
  Stack stack_;
};

// The second pass: each layer where it stands in the archive.
base::Checked<base::Unit> read_layers(Tar& outer, const std::string& name, Layers& layers,
                                      Meter& meter) {
  for (;;) {
    TRY(entry, outer.next());
    if (!entry) break;
    if (!layers.wants(entry->path)) continue;
    layers.see(entry->path);
    if (!entry->regular) continue;  // a link to another layer of the archive
    auto source = [&outer](std::span<char> buffer) { return outer.read(buffer); };
    TRY(inner, Tar::open(name + "/" + entry->path, source, -1, meter));
    TRY(ids, read_tar_layer(*inner, meter));
    layers.take(entry->path, std::move(ids));
  }
  const std::string missing = layers.missing();
  if (!missing.empty() && !meter.stopped())
    return base::refuse(name + ": its manifest names " + missing + ", which is not in it");
  return base::Unit{};
}

base::Checked<LayerIds> read_whole(const std::string& name, int fd, const std::string& tag,
                                   Meter& meter, Image& image) {
  TRY(tar, Tar::open_file(name, fd, meter));
  TRY(contents, look_through(*tar, meter));
  if (contents.empty && !meter.stopped()) return base::refuse(name + ": has nothing in it");
  const bool docker = contents.texts.contains("manifest.json") && !contents.root_like;
  const bool oci = contents.texts.contains("oci-layout") && !contents.root_like;
  image.kind = oci ? "OCI archive" : docker ? "docker archive" : "archive of a root directory";
  if (!docker && !oci) return std::move(contents.whole);
  TRY(images, oci ? oci_images(contents, tag, name) : docker_images(contents, name));
  if (::lseek(fd, 0, SEEK_SET) != 0) return base::refuse(name + ": can not be read twice");
  TRY(again, Tar::open_file(name, fd, meter));
  Layers layers(images, name);
  TRY_VOID(read_layers(*again, name, layers, meter));
  image.layers = static_cast<unsigned>(layers.count());
  LayerIds one = std::move(layers.result());
  if (meter.stopped()) one.complete = false;
  return one;
}

base::Checked<LayerIds> read_blob(int root_fd, const std::string& path, const std::string& name,
                                  const PlanCache& cache, Meter& meter, bool& from_cache) {
  auto file = open_in_root(root_fd, path);
  struct stat status {};
  if (!file) return base::refuse(name + ": " + reason(file.error()));
  if (::fstat(file->get(), &status) != 0) return base::refuse(name + ": can not be looked at");
  const std::string key = cache_key(status);
  if (auto known = cache.load(key); known && known->complete) {
    from_cache = true;
    return std::move(*known);
  }
  TRY(tar, Tar::open_file(name, file->get(), meter));
  TRY(ids, read_tar_layer(*tar, meter));
  if (ids.complete) cache.store(key, ids);
  return ids;
}

}  // namespace

base::Checked<Image> read_archive(const std::string& name, int fd, const std::string& tag,
                                  const ReadOptions& options) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return base::refuse(name + ": can not be looked at");
  const PlanCache cache(options.cache_dir);
  std::string key = cache_key(status);
  for (char c : tag.substr(0, 100)) key += (c >= '0' && c <= 'z') ? c : '_';
  Image image;
  image.kind = "archive";
  if (auto known = cache.load(key); known && known->complete) {
    image.found = flatten(*known);
    image.from_cache = 1;
    return image;
  }
  Meter meter(options.limits, options.progress);
  TRY(ids, read_whole(name, fd, tag, meter, image));
  if (ids.complete) cache.store(key, ids);
  image.found = flatten(ids);
  return image;
}

base::Checked<Image> read_layout(const std::string& name, int root_fd, const std::string& tag,
                                 const ReadOptions& options) {
  auto fetch = [&](const std::string& path) {
    return read_text_in(root_fd, path, kMostManifest, name + "/" + path);
  };
  TRY(images, follow_index(fetch, tag, name));
  Image image;
  image.kind = "OCI layout";
  const PlanCache cache(options.cache_dir);
  Meter meter(options.limits, options.progress);
  Layers layers(images, name);
  image.layers = static_cast<unsigned>(layers.count());
  for (const std::string& path : layers.paths()) {
    bool cached = false;
    TRY(ids, read_blob(root_fd, path, name + "/" + path, cache, meter, cached));
    image.from_cache += cached;
    layers.take(path, std::move(ids));
  }
  image.found = flatten(layers.result());
  return image;
}

}  // namespace images
