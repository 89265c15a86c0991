// Owns: random layers as a plan: what is written to disk, and what an overlay of them must show.
// Called by: the model test. Never: reads a layer back; the plan alone says what is expected.
#pragma once
#include <string>
#include <vector>

#include "tests/model/tree.hpp"

namespace model_test {

class Layers {
 public:
  /// `count` layers, the first on top, determined by the generator's state alone.
  Layers(Random& random, int count);
  /// Writes layer `index` below an empty directory.
  void write(int index, const std::string& dir) const;
  /// The merged tree of all layers.
  Tree merged() const;
  int count() const { return static_cast<int>(roots_.size()); }

  struct Entry {
    enum class What { object, whiteout_device, whiteout_file };
    enum class Owner { plain, record, override_stat };
    enum class Opaque { no, file, trusted, user, fuse };
    What what = What::object;
    Owner owner = Owner::plain;
    Opaque opaque = Opaque::no;
    InodePtr inode;  // of an object; its entries are not used
    std::map<std::string, Entry> entries;
  };

 private:
  std::vector<Entry> roots_;
};

}  // namespace model_test
