// Owns: the in-memory file tree that says what every operation must answer and leave behind.
// Called by: the model test. Never: makes a system call; knows of layers (it is what they show).
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "tests/model/operation.hpp"

namespace model_test {

struct Inode;
using InodePtr = std::shared_ptr<Inode>;

struct Inode {
  enum class Kind { file, dir, link, fifo, sock };
  Kind kind = Kind::file;
  mode_t mode = 0644;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string content;  // of a file; target of a symlink
  std::map<std::string, std::string> xattrs;
  std::map<std::string, InodePtr> entries;
  unsigned links = 1;         // names, for all but directories
  std::optional<long> mtime;  // seconds, while it is what an operation has set
  bool is_dir() const { return kind == Kind::dir; }
};

class Tree {
 public:
  Tree();
  explicit Tree(InodePtr root) : root_(std::move(root)) {}
  /// Does the operation; answers as perform() does on a real directory.
  std::string apply(const Operation& op);
  /// One line a name: what describe_disk() says of an equal directory.
  std::string describe() const;

 private:
  struct Place {
    std::string error;  // "" when dir is valid
    InodePtr dir;
    std::string name;
    InodePtr inode;  // null when there is none of that name
  };
  Place find(const std::string& path) const;
  bool is_above(const InodePtr& dir, const std::string& path) const;
  std::string make(const Operation& op, Inode::Kind kind);
  std::string write(const Operation& op);
  std::string truncate(const Operation& op);
  std::string remove(const Operation& op);
  std::string rename(const Operation& op);
  std::string move(const Operation& op, Place& from, Place& to);
  std::string link(const Operation& op);
  std::string change(const Operation& op);
  std::string look(const Operation& op) const;
  InodePtr root_;
};

}  // namespace model_test
