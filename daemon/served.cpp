#include "daemon/served.hpp"

#include <time.h>

namespace serving {
namespace {

namespace log = base::log;

fusefs::OpaqueForm opaque_form(const std::string& word) {
  if (word == "trusted") return fusefs::OpaqueForm::trusted;
  if (word == "user") return fusefs::OpaqueForm::user;
  if (word == "fuseoverlayfs") return fusefs::OpaqueForm::fuseoverlayfs;
  if (word == "file") return fusefs::OpaqueForm::file;
  return fusefs::OpaqueForm::automatic;
}

fusefs::WhiteoutForm whiteout_form(const std::string& word) {
  if (word == "device") return fusefs::WhiteoutForm::device;
  if (word == "file") return fusefs::WhiteoutForm::file;
  return fusefs::WhiteoutForm::automatic;
}

fusefs::OverlayOptions overlay_options(const config::MountOptions& options) {
  const config::Config& config = options.config;
  fusefs::OverlayOptions out;
  out.timeout = options.timeout;
  out.writeback = options.writeback;
  out.acl = !options.noacl;
  out.xattrs = !options.noxattrs;
  out.sync = !options.volatile_fsync;
  out.static_nlink = options.static_nlink;
  out.ino32 = options.ino32;
  out.redirect = options.redirect_create && config.overlay.redirect_dir;
  out.redirect_follow = options.redirect_follow;
  out.xino = options.xino == config::Xino::off  ? fusefs::XinoMode::off
             : options.xino == config::Xino::on ? fusefs::XinoMode::on
                                                : fusefs::XinoMode::automatic;
  out.opaque = opaque_form(config.overlay.opaque);
  out.whiteout = whiteout_form(config.overlay.whiteout);
  out.dirfd_cache = config.overlay.dirfd_cache;
  out.max_write = config.fuse.max_write;
  out.max_background = static_cast<std::uint16_t>(config.fuse.max_background);
  return out;
}

}  // namespace

fusefs::LayerPaths layer_paths(const config::MountOptions& options) {
  return {options.lowerdirs, options.upperdir, options.workdir};
}

base::Checked<std::unique_ptr<fusefs::Overlay>> make_overlay(const config::MountOptions& options,
                                                             fusefs::LayerFds layers,
                                                             const Identities& ids,
                                                             ring::Reactor& reactor) {
  fusefs::OverlayOptions wanted = overlay_options(options);
  TRY(uids, ids.uid_mapper(options));
  TRY(gids, ids.gid_mapper(options));
  TRY(stack, fusefs::LayerStack::adopt(std::move(layers), layer_paths(options), wanted));
  auto overlay = std::make_unique<fusefs::Overlay>(std::move(stack), std::move(uids),
                                                   std::move(gids), wanted, reactor);
  if (overlay->nodes().root()->dir->layers.empty())
    return base::refuse("lowerdir " + options.lowerdirs.front() + ": its root cannot be read");
  return overlay;
}

Served::Served(MountRequest asked) : request(std::move(asked)), since(::time(nullptr)) {}
Served::~Served() = default;

void Served::log_corrupt(const std::string& name) {
  log::limited(corrupt, log::Level::warning, "record.corrupt", "name=" + log::quoted(name));
}

}  // namespace serving
