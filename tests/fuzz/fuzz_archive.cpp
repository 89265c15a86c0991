// Fuzzes: archives of images, PAX headers and manifests among them, and the JSON of podman's
// storage.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "base/fd.hpp"
#include "images/archive.hpp"
#include "images/manifests.hpp"
#include "images/podman.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void archive(std::string_view bytes) {
  base::Fd file(::memfd_create("archive", MFD_CLOEXEC));
  require(::write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  ::lseek(file.get(), 0, SEEK_SET);
  images::ReadOptions options;
  options.limits = {.files = 10'000, .bytes = 64 << 20, .time = std::chrono::seconds(5)};
  auto image = images::read_archive("a", file.get(), "", options);
  require(image || image.error().message.starts_with("a"));
  require(!image || !image->found.uids.facts().contains(identity::kNoId));
}

bool leads_down(const std::string& path) {
  return !path.starts_with('/') && ("/" + path + "/").find("/../") == std::string::npos;
}

void manifests(std::string_view text) {
  if (auto docker = images::parse_docker_manifest(text, "m"))
    for (const auto& image : *docker)
      for (const std::string& layer : image.layers) require(leads_down(layer));
  if (auto oci = images::parse_oci(text, "m")) {
    for (const std::string& layer : oci->layers) require(leads_down(layer));
    for (const auto& one : oci->manifests) require(leads_down(one.path));
  }
  if (auto images = images::parse_stored_images(text, "m"))
    for (const auto& image : *images) require(images::is_layer_id(image.id));
  if (auto layers = images::parse_stored_layers(text, "m"))
    for (const auto& layer : *layers) require(images::is_layer_id(layer.id));
  (void)images::parse_config_user(text, "m");
  (void)images::parse_bundle_config(text, "m");
  (void)images::graphroot_of(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(unsigned char const* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<char const*>(data), size);
  archive(bytes);
  manifests(bytes);
  return 0;
}
