// Owns: what is remembered of one inode of the merged tree, and the names by which it is reached.
// Called by: NodeTable (life), Overlay (content). Never: holds a descriptor, except of a file whose
// last name is gone; where a file lies is (parent, name) and a layer number.
#pragma once
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "fusefs/layer.hpp"
#include "identity/hash_slot.hpp"
#include "identity/owner_record.hpp"
#include "ring/reactor.hpp"

namespace fusefs {

using NodeId = std::uint64_t;
struct Node;
struct OpenFile;

/// One name of a node. Every node has its first one embedded; hard links add more.
struct Name {
  Node* parent = nullptr;
  std::string text;
  Node* node = nullptr;
  Name* next_in_bucket = nullptr;
  std::uint32_t cell = 0;  // in the ledger
};

/// What is known of the `.wh.` names in one layer's version of a directory.
struct HiddenNames {
  enum class State : std::uint8_t {
    unknown,  // not looked yet
    none,     // scanned: nothing starts with .wh.
    listed,   // scanned: `whiteouts` and `sidecars` are complete
    probe,    // too many entries to scan: ask the file system for each name
  };
  State state = State::unknown;
  bool sidecars = false;
  std::unique_ptr<std::set<std::string, std::less<>>> whiteouts;
};

/// A layer's contribution to a merged directory.
struct LayerDir {
  LayerIndex layer = 0;
  HiddenNames hidden;
  /// Path from the layer's root where a redirect leads elsewhere than (parent, name).
  std::shared_ptr<const std::string> path;
};

/// Beyond the common part, for directories.
struct DirPart {
  std::vector<LayerDir> layers;  // top first; empty once the directory is removed
  /// Of the upper version: where the lower ones are, from the root of the tree that the lower
  /// layers make together ("/a/b"). Empty: at this directory's own name.
  std::string redirect;
};

/// Beyond the common part, for files that are open, hard linked or unlinked.
struct FilePart {
  std::vector<OpenFile*> open;               // to be given new descriptors at copy-up
  std::vector<std::unique_ptr<Name>> names;  // hard links beyond the first name
  std::shared_ptr<ring::Event> copying;      // fires when the copy-up under way has ended
};

struct Node {
  NodeId id = 0;
  std::uint64_t lookups = 0;      // what the kernel will FORGET
  std::uint64_t ino = 0;          // presented st_ino; survives copy-up
  std::uint32_t pins = 0;         // children's names, open files and handlers under way
  identity::Id uid = 0, gid = 0;  // truth
  std::uint32_t rdev = 0;         // of an overriding device, makedev(2)
  LayerIndex layer = 0;           // where the top version lies
  std::uint16_t override_mode = 0;
  identity::NodeType type = identity::NodeType::unknown;
  bool has_override : 1 = false;  // mode (and type) come from an override_stat, not from the layer
  bool gone : 1 = false;          // no name left; reached through `orphan`
  bool multi : 1 = false;         // more than one hard link in the upper layer: in the inode index
  bool no_xattrs : 1 = false;     // known to have none that a container may see
  bool default_acl : 1 = false;   // a directory whose new entries inherit an ACL
  bool setgid_dir : 1 = false;    // a directory whose new entries inherit its group
  bool stale : 1 = false;         // from a ledger: Overlay::awaken reads the rest from disk
  bool kept : 1 = false;          // the orphan is in somebody else's keeping as well
  bool unlinked : 1 = false;      // gone for ever, which an O_TMPFILE is not
  bool told : 1 = false;          // the kernel has its attributes, as they still are
  base::Fd orphan;                // O_PATH, or better, when gone
  Name name;
  std::unique_ptr<DirPart> dir;
  std::unique_ptr<FilePart> file;

  bool is_dir() const { return type == identity::NodeType::dir; }
  FilePart& file_part() {
    if (!file) file = std::make_unique<FilePart>();
    return *file;
  }
  LayerDir* in_layer(LayerIndex wanted) {
    if (dir)
      for (LayerDir& version : dir->layers)
        if (version.layer == wanted) return &version;
    return nullptr;
  }
};

}  // namespace fusefs
