// Owns: every setting, its default, its limits and its help text, each stated once in fields().
// Called by: config/toml, config/mount_options, cli and daemon (which pass on the values needed).
// Never: is a global; it is parsed once and then const.
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "identity/hash_slot.hpp"
#include "identity/live_slots.hpp"

namespace config {

/// When a running daemon takes a changed setting: `reload` changes it at once; each new mount
/// brings its own with it, and each new container; or only a new start, because what has been
/// served so far depends on it.
enum class Effect : std::uint8_t { reload, mount, container, restart };

/// What a setting may be: a word of a list ("a|b"; empty: any text), or a number from min to max.
struct Allowed {
  std::string_view words = {};
  double min = 0;
  double max = std::numeric_limits<std::uint32_t>::max();
  Effect effect = Effect::restart;
};

struct Config {
  struct Log {
    std::string level = "info";
    std::string file;
  } log;
  struct Identity {
    std::uint32_t rule = 2;
    std::string collisions = "native";
    std::uint32_t window_first = 1000;
    std::uint32_t window_last = 1998;
  } identity;
  struct Overlay {
    std::string opaque = "auto";
    std::string whiteout = "auto";
    bool redirect_dir = true;
    std::uint32_t dirfd_cache = 1024;
  } overlay;
  struct Fuse {
    double timeout = 1e9;
    bool writeback = true;
    std::uint32_t max_write = 262144;
    std::uint32_t max_background = 64;
  } fuse;
  struct Reactor {
    std::uint32_t spin_us = 50;
  } reactor;
  struct Daemon {
    bool autostart = true;
    std::string socket;
    std::uint32_t idle_exit_s = 60;
    std::string metrics_file;
    std::uint32_t metrics_s = 15;
  } daemon;
  struct Runtime {
    std::string program;
    std::string ids;
    std::string profile = "auto";
  } runtime;
  struct Engine {
    std::string stores;
  } engine;

  /// Calls f("section.key", member, "help", Allowed{...}) for each setting. TOML, environment,
  /// mount options, unknown-key errors and the docs table have no other list.
  template <class Self, class F>
  static void fields(Self& c, F&& f) {
    f("log.level", c.log.level, "least severe event that is logged",
      Allowed{.words = "debug|info|warning|error", .effect = Effect::reload});
    f("log.file", c.log.file, "where events go; empty: stderr with -f, else nowhere", Allowed{});
    f("identity.rule", c.identity.rule,
      "hash rule: 1 = every id >= 65534 is nobody, 2 = ids above 65535 are hashed too",
      Allowed{.min = 1, .max = 2});
    f("identity.collisions", c.identity.collisions,
      "native = ids of the pool are themselves, foreign ids never share; separate = no two ids "
      "share, ids of the pool may move; share = always the hash slot",
      Allowed{.words = "native|separate|share"});
    f("identity.window_first", c.identity.window_first,
      "first pool id that an id unknown to the namespace may be given",
      Allowed{.min = 1, .max = 65533});
    f("identity.window_last", c.identity.window_last, "last such pool id",
      Allowed{.min = 1, .max = 65533});
    f("overlay.opaque", c.overlay.opaque, "how a directory that hides lower ones is marked",
      Allowed{.words = "auto|trusted|user|fuseoverlayfs|file", .effect = Effect::mount});
    f("overlay.whiteout", c.overlay.whiteout, "how a deleted lower name is marked",
      Allowed{.words = "auto|device|file", .effect = Effect::mount});
    f("overlay.redirect_dir", c.overlay.redirect_dir,
      "rename lower directories by a redirect; false: by a copy", Allowed{.effect = Effect::mount});
    f("overlay.dirfd_cache", c.overlay.dirfd_cache, "directory descriptors kept open per mount",
      Allowed{.min = 16, .max = 1048576, .effect = Effect::mount});
    f("fuse.timeout", c.fuse.timeout, "seconds the kernel may cache names and attributes",
      Allowed{.min = 0, .max = 1e9, .effect = Effect::mount});
    f("fuse.writeback", c.fuse.writeback, "let the kernel collect small writes",
      Allowed{.effect = Effect::mount});
    f("fuse.max_write", c.fuse.max_write, "most bytes of one write request",
      Allowed{.min = 4096, .max = 1048576, .effect = Effect::mount});
    f("fuse.max_background", c.fuse.max_background, "read-ahead and write-back requests in flight",
      Allowed{.min = 1, .max = 65535, .effect = Effect::mount});
    f("reactor.spin_us", c.reactor.spin_us,
      "microseconds to watch for the next request before sleeping, as long as that pays; 0: never",
      Allowed{.min = 0, .max = 1000, .effect = Effect::reload});
    f("daemon.autostart", c.daemon.autostart,
      "start a daemon for the first mount; false: without a running daemon each mount has a "
      "process of its own",
      Allowed{.effect = Effect::mount});
    f("daemon.socket", c.daemon.socket,
      "control socket; empty: in $XDG_RUNTIME_DIR/usernetes-identity", Allowed{});
    f("daemon.idle_exit_s", c.daemon.idle_exit_s,
      "seconds after its last mount that a daemon which a mount started leaves; 0: never",
      Allowed{.min = 0, .max = 86400, .effect = Effect::reload});
    f("daemon.metrics_file", c.daemon.metrics_file,
      "where the daemon writes its metrics, for node_exporter's textfile collector; empty: nowhere",
      Allowed{});
    f("daemon.metrics_s", c.daemon.metrics_s, "seconds between two of these writings",
      Allowed{.min = 1, .max = 3600});
    f("runtime.program", c.runtime.program,
      "the OCI runtime that does the work, a name or an absolute path; empty: crun, else runc",
      Allowed{.effect = Effect::container});
    f("runtime.ids", c.runtime.ids,
      "ids that every container is to have besides those it needs: \"60000,70000-70010\"",
      Allowed{.effect = Effect::container});
    f("runtime.profile", c.runtime.profile,
      "calls that a daemon answers for ids nobody planned: basic = those that change or name ids, "
      "full = also the owners of files, auto = basic with a map and full without, off = none",
      Allowed{.words = "auto|basic|full|off", .effect = Effect::container});
    f("engine.stores", c.engine.stores,
      "directories of layers, \"DIR:DIR\", where an image engine's owners become records; empty: "
      "those of podman's storage and of containerd",
      Allowed{});
  }
};

inline identity::Rule rule(Config const& c) {
  return static_cast<identity::Rule>(c.identity.rule);
}
inline identity::Window window(Config const& c) {
  return {c.identity.window_first, c.identity.window_last};
}
inline identity::Collisions collisions(Config const& c) {
  if (c.identity.collisions == "share") return identity::Collisions::share;
  return c.identity.collisions == "separate" ? identity::Collisions::separate
                                             : identity::Collisions::native;
}

}  // namespace config
