#include "daemon/join.hpp"

#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "daemon/client.hpp"
#include "daemon/detach.hpp"
#include "daemon/mount.hpp"
#include "daemon/mount_request.hpp"
#include "daemon/served.hpp"
#include "daemon/start.hpp"

namespace serving {
namespace {

constexpr std::size_t kMostLayers = 500;
constexpr int kServeSeconds = 30;

// File systems whose server may hang, and with it whoever asks: fuse, nfs, cifs, smb2, 9p, ceph,
// lustre, gpfs, beegfs, afs, panfs.
constexpr unsigned kRemote[] = {0x65735546, 0x6969,     0xff534d42, 0xfe534d42,
                                0x01021997, 0x00c36400, 0x0bd00bd0, 0x47504653,
                                0x19830326, 0x5346414f, 0xaad7aaea};

// One thread serves all mounts of a daemon: a layer that makes it wait would stop all of them.
bool may_hang(const fusefs::LayerFds& layers) {
  for (int fd : layers.in_order()) {
    struct statfs st;
    if (::fstatfs(fd, &st) != 0) continue;
    auto type = static_cast<unsigned>(st.f_type);
    if (std::find(std::begin(kRemote), std::end(kRemote), type) != std::end(kRemote)) return true;
  }
  return false;
}

bool has_option(const config::MountOptions& options, std::string_view name) {
  return std::find(options.fuse_options.begin(), options.fuse_options.end(), name) !=
         options.fuse_options.end();
}

// What one mount wants of its process cannot be had from a process that others share.
bool wants_own_process(const MountCall& call) {
  return call.options.foreground || call.options.debug ||
         !same_for_process(call.options.config, call.config) ||
         has_option(call.options, "auto_unmount") ||  // ends with the process that mounted
         call.options.lowerdirs.size() > kMostLayers;
}

Json request_of(const MountCall& call) {
  MountRequest request;
  for (const char* word : call.arguments) request.arguments.emplace_back(word);
  request.settings = mount_settings(call.config);
  Json json = request.as_json();
  json["verb"] = "mount";
  return json;
}

base::Checked<bool> hand_over(const MountCall& call, Client& daemon, Json request,
                              const fusefs::LayerFds& layers) {
  TRY(mount, Mount::make(call.options, call.program));
  base::Fd device = mount->take_device();
  std::vector<int> fds = {device.get()};
  for (int fd : layers.in_order()) fds.push_back(fd);
  request["fds"] = fds.size();
  request["path"] = mount->path();
  request["device"] = device_at(mount->path());
  request["mounted_in"] = fusefs::namespaces_of("self");
  auto answer = daemon.call(std::move(request), fds, kServeSeconds);
  if (!answer) return tl::make_unexpected(std::move(answer.error()));  // and the mount goes
  mount->leave();
  return true;
}

}  // namespace

base::Checked<bool> mount_by_daemon(const MountCall& call) {
  if (wants_own_process(call)) return false;
  Json request = request_of(call);
  constexpr std::size_t kRoom = 8192;  // path and number of descriptors
  if (request_line(request).size() + kRoom > kRequestLimit) return false;
  TRY(daemon, find_daemon(call.options.config, Purpose::files));
  if (!daemon || daemon->hello().identity != identity_settings(call.config)) return false;
  TRY(layers, fusefs::LayerFds::open(layer_paths(call.options)));
  if (may_hang(layers)) return false;
  return hand_over(call, *daemon, std::move(request), layers);
}

}  // namespace serving
