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

// The second pass: each layer where it stands in the archive.
base::Checked<std::map<std::string, LayerIds>> read_layers(Tar& outer, const std::string& name,
                                                           const std::vector<ImageParts>& images,
                                                           Meter& meter) {
  std::map<std::string, LayerIds> layers;
  for (const ImageParts& image : images)
    for (const std::string& path : image.layers) layers.try_emplace(path);
  std::map<std::string, bool> seen;
  for (;;) {
    TRY(entry, outer.next());
    if (!entry) break;
    auto layer = layers.find(entry->path);
    if (layer == layers.end()) continue;
    seen[entry->path] = true;
    if (!entry->regular) continue;  // a link to another layer of the archive
    auto source = [&outer](std::span<char> buffer) { return outer.read(buffer); };
    TRY(inner, Tar::open(name + "/" + entry->path, source, -1, meter));
    TRY(ids, read_tar_layer(*inner, meter));
    layer->second = std::move(ids);
  }
  for (const auto& [path, ids] : layers)
    if (!seen.contains(path) && !meter.stopped())
      return base::refuse(name + ": its manifest names " + path + ", which is not in it");
  return layers;
}

LayerIds as_one(const std::vector<ImageParts>& images,
                const std::map<std::string, LayerIds>& layers, const std::string& name) {
  std::vector<LayerIds> all;
  for (const ImageParts& image : images) {
    std::vector<LayerIds> stack;
    for (const std::string& path : image.layers) stack.push_back(layers.at(path));
    all.push_back(combine(stack));
    add_user(all.back().owners, image.user, "user of " + name);
  }
  LayerIds one = combine(all);
  // Several images in one archive: the accounts of each count.
  for (const LayerIds& image : all)
    for (const auto& accounts : image.accounts)
      if (accounts && all.size() > 1) one.owners.add_all(*accounts);
  return one;
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
  TRY(layers, read_layers(*again, name, images, meter));
  image.layers = static_cast<unsigned>(layers.size());
  LayerIds one = as_one(images, layers, name);
  if (meter.stopped()) one.complete = false;
  return one;
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
    image.found = merge({&*known, 1});
    image.from_cache = 1;
    return image;
  }
  Meter meter(options.limits, options.progress);
  TRY(ids, read_whole(name, fd, tag, meter, image));
  if (ids.complete) cache.store(key, ids);
  image.found = merge({&ids, 1});
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
  image.layers = 0;
  const PlanCache cache(options.cache_dir);
  Meter meter(options.limits, options.progress);
  std::map<std::string, LayerIds> layers;
  for (const ImageParts& parts : images)
    for (const std::string& path : parts.layers) {
      if (layers.contains(path)) continue;
      auto file = open_in_root(root_fd, path);
      struct stat status {};
      if (!file) return base::refuse(name + "/" + path + ": " + reason(file.error()));
      if (::fstat(file->get(), &status) != 0) return base::refuse(name + "/" + path + ": fstat");
      ++image.layers;
      if (auto known = cache.load(cache_key(status)); known && known->complete) {
        ++image.from_cache;
        layers[path] = std::move(*known);
        continue;
      }
      TRY(tar, Tar::open_file(name + "/" + path, file->get(), meter));
      TRY(ids, read_tar_layer(*tar, meter));
      if (ids.complete) cache.store(cache_key(status), ids);
      layers[path] = std::move(ids);
    }
  const LayerIds one = as_one(images, layers, name);
  image.found = merge({&one, 1});
  return image;
}

}  // namespace images
