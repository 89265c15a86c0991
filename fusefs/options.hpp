// Owns: what one overlay mount was asked for, in fusefs's own words. Called by: daemon/, which
// fills it from config and mount options. Never: parses text.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "identity/hash_slot.hpp"
#include "ring/fs_ops.hpp"

namespace fusefs {

enum class OpaqueForm : std::uint8_t { automatic, trusted, user, fuseoverlayfs, file };
enum class WhiteoutForm : std::uint8_t { automatic, device, file };
enum class XinoMode : std::uint8_t { off, automatic, on };

struct OverlayOptions {
  double timeout = 1e9;  // seconds that the kernel may cache names and attributes
  bool writeback = true;
  bool acl = true;
  bool xattrs = true;
  bool sync = true;  // false: volatile, fsync is not even asked for
  bool static_nlink = false;
  bool ino32 = false;
  bool redirect = true;         // rename lower directories by a redirect; false: by a copy
  bool redirect_follow = true;  // honour redirects found on disk
  XinoMode xino = XinoMode::automatic;
  OpaqueForm opaque = OpaqueForm::automatic;
  WhiteoutForm whiteout = WhiteoutForm::automatic;
  std::size_t dirfd_cache = 1024;
  std::uint32_t max_write = 256 * 1024;
  std::uint16_t max_background = 64;
  ring::Io io = ring::Io::automatic;  // ring_only: every request for data waits (tests)
};

}  // namespace fusefs
