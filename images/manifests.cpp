#include "images/manifests.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace images {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostDepth = 64, kMostItems = 1000;

#if defined(__aarch64__)
constexpr std::string_view kArchitecture = "arm64";
#else
constexpr std::string_view kArchitecture = "amd64";
#endif

bool too_deep(std::string_view text) {
  std::size_t depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '\\')
      ++i;
    else if (c == '"')
      quoted = !quoted;
    else if (!quoted && (c == '{' || c == '[') && ++depth > kMostDepth)
      return true;
    else if (!quoted && (c == '}' || c == ']') && depth > 0)
      --depth;
  }
  return false;
}

base::Checked<Json> parse(std::string_view text, const std::string& where, std::size_t most) {
  if (text.size() > most)
    return base::refuse(where + ": is larger than " + std::to_string(most >> 20) + " MiB");
  if (too_deep(text)) return base::refuse(where + ": is nested deeper than 64 levels");
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return base::refuse(where + ": is not JSON");
  return json;
}

const Json& member(const Json& json, const char* key) {
  static const Json nothing;
  if (!json.is_object()) return nothing;
  auto found = json.find(key);
  return found == json.end() ? nothing : *found;
}

std::string text_of(const Json& json) {
  return json.is_string() ? json.get<std::string>() : std::string();
}

std::string quote(const std::string& text) {
  return "\"" + text.substr(0, 100) + "\"";
}

bool is_hexadecimal(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

base::Checked<std::string> blob_path(const Json& descriptor, const std::string& where) {
  const std::string digest = text_of(member(descriptor, "digest"));
  const std::size_t colon = digest.find(':');
  const std::string algorithm = digest.substr(0, colon);
  const std::string hash = colon == digest.npos ? "" : digest.substr(colon + 1);
  const std::size_t length = algorithm == "sha256" ? 64 : algorithm == "sha512" ? 128 : 0;
  if (length == 0 || hash.size() != length || !is_hexadecimal(hash))
    return base::refuse(where + ".digest " + quote(digest) +
                        " is not sha256: and 64 hexadecimal digits");
  return "blobs/" + algorithm + "/" + hash;
}

// The list at `key`, refused when it is none or longer than any image has.
base::Checked<const Json*> list(const Json& json, const char* key, const std::string& where) {
  const Json& found = member(json, key);
  if (!found.is_array()) return base::refuse(where + ": has no list \"" + key + "\"");
  if (found.size() > kMostItems)
    return base::refuse(where + ": \"" + key + "\" has more than 1000 entries");
  return &found;
}

std::string item(const std::string& where, const char* key, std::size_t i) {
  return where + ": " + key + "[" + std::to_string(i) + "]";
}

// Descriptors of attestations have the platform unknown/unknown.
bool is_other_platform(const Json& platform) {
  if (!platform.is_object()) return false;
  return text_of(member(platform, "os")) != "linux" ||
         text_of(member(platform, "architecture")) != kArchitecture;
}

// A path within an archive: relative, and down only.
bool is_inner_path(std::string_view path) {
  if (path.empty() || path.starts_with('/') || path.size() > 500) return false;
  return ("/" + std::string(path) + "/").find("/../") == std::string::npos;
}

}  // namespace

bool is_layer_id(std::string_view text) {
  return text.size() == 64 && is_hexadecimal(text);
}

base::Checked<std::vector<DockerImage>> parse_docker_manifest(std::string_view text,
                                                              const std::string& where) {
  TRY(json, parse(text, where, kMostManifest));
  if (!json.is_array() || json.size() > kMostItems)
    return base::refuse(where + ": is not a list of images");
  std::vector<DockerImage> images;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const std::string here = where + ": [" + std::to_string(i) + "]";
    TRY(layers, list(json[i], "Layers", here));
    DockerImage image{text_of(member(json[i], "Config")), {}};
    for (std::size_t j = 0; j < layers->size(); ++j) {
      std::string path = text_of((*layers)[j]);
      if (!is_inner_path(path))
        return base::refuse(item(here, "Layers", j) + " " + quote(path) +
                            " is not a path within the archive");
      image.layers.push_back(std::move(path));
    }
    images.push_back(std::move(image));
  }
  return images;
}

base::Checked<OciDocument> parse_oci(std::string_view text, const std::string& where) {
  TRY(json, parse(text, where, kMostManifest));
  OciDocument document;
  if (member(json, "manifests").is_array()) {
    TRY(manifests, list(json, "manifests", where));
    for (std::size_t i = 0; i < manifests->size(); ++i) {
      const Json& one = (*manifests)[i];
      TRY(path, blob_path(one, item(where, "manifests", i)));
      const Json& name = member(member(one, "annotations"), "org.opencontainers.image.ref.name");
      document.manifests.push_back(
          {path, text_of(name), is_other_platform(member(one, "platform"))});
    }
    return document;
  }
  TRY(layers, list(json, "layers", where));
  for (std::size_t i = 0; i < layers->size(); ++i) {
    TRY(path, blob_path((*layers)[i], item(where, "layers", i)));
    document.layers.push_back(std::move(path));
  }
  if (member(json, "config").is_object()) {
    TRY(path, blob_path(member(json, "config"), where + ": config"));
    document.config = std::move(path);
  }
  return document;
}

base::Checked<std::string> parse_config_user(std::string_view text, const std::string& where) {
  TRY(json, parse(text, where, kMostManifest));
  return text_of(member(member(json, "config"), "User"));
}

base::Checked<BundleConfig> parse_bundle_config(std::string_view text, const std::string& where) {
  TRY(json, parse(text, where, kMostManifest));
  BundleConfig config{text_of(member(member(json, "root"), "path")), {}, {}};
  if (config.root.empty()) return base::refuse(where + ": has no \"root\" with a \"path\"");
  const Json& user = member(member(json, "process"), "user");
  auto take = [](const Json& value, std::vector<identity::Id>& ids) {
    if (value.is_null()) return true;
    if (!value.is_number_integer() || value < 0 || value >= identity::kNoId) return false;
    ids.push_back(value.get<identity::Id>());
    return true;
  };
  auto wrong = [&](const std::string& key, const Json& value) {
    return base::refuse(where + ": process.user." + key + " " +
                        value.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 40) +
                        " is not an id from 0 to 4294967294");
  };
  for (auto [key, ids] : {std::pair{"uid", &config.uids}, std::pair{"gid", &config.gids}})
    if (!take(member(user, key), *ids)) return wrong(key, member(user, key));
  const Json& groups = member(user, "additionalGids");
  if (groups.is_array() && groups.size() <= 65536)
    for (const Json& gid : groups)
      if (!take(gid, config.gids)) return wrong("additionalGids", gid);
  return config;
}

base::Checked<std::vector<StoredImage>> parse_stored_images(std::string_view text,
                                                            const std::string& where) {
  TRY(json, parse(text, where, kMostStorageJson));
  if (!json.is_array()) return base::refuse(where + ": is not a list");
  std::vector<StoredImage> images;
  for (const Json& one : json) {
    StoredImage image{text_of(member(one, "id")), text_of(member(one, "layer")), {}, {}};
    image.digest = text_of(member(one, "digest"));
    if (const Json& names = member(one, "names"); names.is_array())
      for (const Json& name : names) image.names.push_back(text_of(name));
    if (is_layer_id(image.id) && (image.layer.empty() || is_layer_id(image.layer)))
      images.push_back(std::move(image));
  }
  return images;
}

base::Checked<std::vector<StoredLayer>> parse_stored_layers(std::string_view text,
                                                            const std::string& where) {
  TRY(json, parse(text, where, kMostStorageJson));
  if (!json.is_array()) return base::refuse(where + ": is not a list");
  std::vector<StoredLayer> layers;
  for (const Json& one : json) {
    StoredLayer layer{text_of(member(one, "id")), text_of(member(one, "parent"))};
    if (is_layer_id(layer.id) && (layer.parent.empty() || is_layer_id(layer.parent)))
      layers.push_back(std::move(layer));
  }
  return layers;
}

}  // namespace images
