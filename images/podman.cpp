#include "images/podman.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <unordered_map>

#include "images/files.hpp"
#include "images/manifests.hpp"
#include "images/overlay_dirs.hpp"

namespace images {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") + 1 - begin);
}

// How well a name of an image fits what was asked for; 0: not at all.
int fit(const std::string& name, const std::string& reference) {
  const std::string tagged = reference + ":latest";
  if (name == reference || name == tagged) return 3;
  if (name == "localhost/" + reference || name == "localhost/" + tagged) return 2;
  if (name.ends_with("/" + reference) || name.ends_with("/" + tagged)) return 1;
  return 0;
}

int fit(const StoredImage& image, std::string reference) {
  if (reference.starts_with("sha256:")) reference.erase(0, 7);
  int best = reference.size() >= 6 && image.id.starts_with(reference) ? 3 : 0;
  for (const std::string& name : image.names) {
    best = std::max(best, fit(name, reference));
    // NAME@DIGEST: the name without its tag, and the digest.
    const std::string bare = name.substr(0, name.rfind(':'));
    if (!image.digest.empty() && bare + "@" + image.digest == reference) best = 3;
  }
  return best;
}

base::Checked<const StoredImage*> choose(const std::vector<StoredImage>& images,
                                         const std::string& reference) {
  const StoredImage* best = nullptr;
  int best_fit = 0;
  bool several = false;
  for (const StoredImage& image : images) {
    const int here = fit(image, reference);
    several = here == best_fit ? several || here > 0 : here < best_fit && several;
    if (here > best_fit) {
      best = &image;
      best_fit = here;
    }
  }
  if (several)
    return base::refuse("\"" + reference +
                        "\" means several images of podman's storage; write all of the name or id");
  return best;
}

// Big data of an image lies in files whose names are base64 unless they are plain words.
std::string data_name(const std::string& key) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string name = "=";
  for (std::size_t i = 0; i < key.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (i + j < key.size() ? static_cast<unsigned char>(key[i + j]) : 0u);
    for (std::size_t j = 0; j < 4; ++j)
      name += i + j > key.size() ? '=' : kDigits[bits >> (18 - 6 * j) & 63];
  }
  return name;
}

class Storage {
 public:
  Storage(std::string path, base::Fd root) : path_(std::move(path)), root_(std::move(root)) {}

  base::Checked<std::vector<StoredImage>> images() const {
    TRY(text, read("overlay-images/images.json", kMostStorageJson));
    return parse_stored_images(text, path_ + "/overlay-images/images.json");
  }

  base::Checked<Image> read_image(const StoredImage& stored, const ReadOptions& options) const {
    TRY(chain, layers_of(stored.layer));
    Image image;
    image.kind = "podman image";
    image.layers = static_cast<unsigned>(chain.size());
    const PlanCache cache(options.cache_dir);
    Limits limits = options.limits;
    Stack stack;
    std::size_t height = 0;
    for (const std::string& id : chain) {
      const std::string path = "overlay/" + id + "/diff";
      base::Fd fd(::openat(root_.get(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!fd.valid())
        return base::refuse(path_ + "/" + path + ": " + reason(base::Errno{errno}) +
                            "; is this run in podman's namespace (podman unshare)?");
      bool cached = false;
      TRY(ids, read_cached_layer(fd.get(), cache, limits, options.progress, CutLayer::read_again,
                                 &cached));
      image.from_cache += cached;
      stack.add(std::move(ids), ++height);
    }
    image.found = flatten(stack.result());
    const std::string config =
        "overlay-images/" + stored.id + "/" + data_name("sha256:" + stored.id);
    if (auto text = read(config, kMostManifest))
      if (auto user = parse_config_user(*text, path_ + "/" + config))
        add_user(image.found, *user, "user of the image");
    return image;
  }

 private:
  base::Checked<std::string> read(const std::string& name, std::size_t limit) const {
    return read_text_in(root_.get(), name, limit, path_ + "/" + name);
  }

  // The lowest first.
  base::Checked<std::vector<std::string>> layers_of(std::string top) const {
    const std::string name = "overlay-layers/layers.json";
    TRY(text, read(name, kMostStorageJson));
    TRY(stored, parse_stored_layers(text, path_ + "/" + name));
    std::unordered_map<std::string, std::string> parents;
    for (StoredLayer& layer : stored) parents[layer.id] = std::move(layer.parent);
    std::vector<std::string> chain;
    for (; !top.empty(); top = parents[top]) {
      if (!parents.contains(top) || chain.size() >= kMostLayers)
        return base::refuse(path_ + "/" + name + ": the chain of layers ends at " + top);
      chain.push_back(top);
    }
    std::reverse(chain.begin(), chain.end());
    return chain;
  }

  std::string path_;
  base::Fd root_;
};

}  // namespace

std::string graphroot_of(std::string_view text) {
  std::string found, rootless;
  std::string_view table;
  while (!text.empty()) {
    std::string_view line = trimmed(text.substr(0, text.find('\n')));
    text.remove_prefix(
        std::min(text.size(), text.find('\n') == text.npos ? text.size() : text.find('\n') + 1));
    if (line.starts_with('[')) table = line;
    const std::size_t equals = line.find('=');
    if (line.starts_with('#') || equals == line.npos || !table.starts_with("[storage]")) continue;
    std::string_view key = trimmed(line.substr(0, equals)),
                     value = trimmed(line.substr(equals + 1));
    const std::size_t end = value.empty() ? value.npos : value.find(value.front(), 1);
    if (end == value.npos || (value.front() != '"' && value.front() != '\'')) continue;
    if (key == "graphroot") found = value.substr(1, end - 1);
    if (key == "rootless_storage_path") rootless = value.substr(1, end - 1);
  }
  // With variables in it only podman knows what it means.
  const std::string& chosen = rootless.empty() ? found : rootless;
  return chosen.find('$') == chosen.npos ? chosen : "";
}

std::vector<std::string> podman_storages() {
  std::vector<std::string> storages;
  const std::string home = environment("HOME"), data = environment("XDG_DATA_HOME");
  std::string config = environment("XDG_CONFIG_HOME");
  if (config.empty()) config = home + "/.config";
  for (const std::string& file :
       {environment("CONTAINERS_STORAGE_CONF"), config + "/containers/storage.conf"})
    if (auto fd = open_regular(file))
      if (auto text = read_text(fd->get(), 1 << 20, file))
        if (std::string root = graphroot_of(*text); !root.empty()) storages.push_back(root);
  if (!data.empty()) storages.push_back(data + "/containers/storage");
  if (!home.empty()) storages.push_back(home + "/.local/share/containers/storage");
  if (::geteuid() == 0) storages.emplace_back("/var/lib/containers/storage");
  return storages;
}

base::Checked<std::optional<Image>> read_podman_image(const std::string& reference,
                                                      const std::vector<std::string>& storages,
                                                      const ReadOptions& options) {
  for (const std::string& path : storages) {
    base::Fd root(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root.valid()) continue;
    Storage storage(path, std::move(root));
    auto images = storage.images();
    if (!images) continue;
    TRY(found, choose(*images, reference));
    if (!found) continue;
    TRY(image, storage.read_image(*found, options));
    return std::optional(std::move(image));
  }
  return std::optional<Image>();
}

}  // namespace images
