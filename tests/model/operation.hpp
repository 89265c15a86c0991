// Owns: one file operation as plain data, so that a list of them can be printed, cut and replayed.
// Called by: the model test. Never: holds state between operations.
#pragma once
#include <sys/types.h>

#include <random>
#include <string>
#include <vector>

namespace model_test {

struct Operation {
  enum class Kind {
    create,
    write,
    append,
    overwrite,
    truncate,
    unlink,
    mkdir,
    rmdir,
    rename,
    noreplace,
    exchange,
    symlink,
    link,
    mkfifo,
    mksock,
    chmod,
    chown,
    utimens,
    setxattr,
    removexattr,
    getxattr,
    read,
    readdir,
    stat,
    readlink,
    remount,
    restack,
    count
  };
  Kind kind = Kind::stat;
  std::string path, other;  // relative to the root; `other` is the second path or a target
  std::string text;         // content, xattr value
  std::string name;         // xattr name
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  off_t at = 0;  // offset, size or time
};

std::string to_string(const Operation& op);
using Random = std::mt19937_64;
/// Paths come from a few names so that operations meet. remount and restack are not among them.
Operation random_operation(Random& random);
int pick(Random& random, int below);
uid_t random_id(Random& random);
std::string random_text(Random& random);

/// Does it below `root`. "ok", an errno's name, or what was read; never follows a symlink.
std::string perform(const std::string& root, const Operation& op);
/// The tree below `root`, one line a name: kind, mode, owner, links, content, xattrs, and for
/// names that share an inode the first of them.
std::string describe_disk(const std::string& root);

}  // namespace model_test
