// Owns: the rule by which the layers' versions of one name become one entry. Called by:
// Overlay::lookup. Never: changes anything.
#pragma once
#include <sys/stat.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "fusefs/overlay.hpp"

namespace fusefs {

/// A merged entry as found on disk.
struct Overlay::Found {
  LayerIndex layer = 0;
  struct stat st {};
  Facts facts;
  std::vector<LayerDir> versions;  // of a directory
};

class Merge {
 public:
  explicit Merge(Overlay& overlay) : fs_(overlay) {}
  /// ENOENT: no layer shows the name.
  base::Result<Overlay::Found> entry(Node* parent, std::string_view name);
  /// The versions of the root directory; its facts are those of the first layer.
  base::Result<Overlay::Found> root();
  static bool is_whiteout(const struct stat& st) { return S_ISCHR(st.st_mode) && st.st_rdev == 0; }

 private:
  enum class Step { next_layer, stop };
  /// One walk down the layers.
  struct Walk {
    Node* parent;
    std::string name;      // changes where a relative redirect names a sibling
    bool renamed = false;  // it did: deeper versions need their path written down
    bool any = false;      // the top version was found
    base::Errno error{0};
    Overlay::Found found;
  };
  Step visit(Walk& walk, LayerDir& version, bool last);
  Step visit_dir(Walk& walk, const ring::at::Where& where, LayerIndex layer, bool last,
                 const Facts& facts);
  /// The versions of `path` (from the roots) in the layers from `first` on.
  void follow(LayerIndex first, std::string_view path, unsigned depth,
              std::vector<LayerDir>& versions);
  bool opaque_file(const ring::at::Where& where) const;
  Overlay& fs_;
};

}  // namespace fusefs
