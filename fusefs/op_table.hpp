// Owns: the one list of protocol operations: name, handler, smallest body. Called by: Session,
// metrics, logs. Never: grows elsewhere: a new operation is one row here, one handler in ops_*.cpp
// and one test.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "fusefs/request.hpp"
#include "ring/task.hpp"

namespace fusefs {

struct OpRow {
  std::string_view name;
  std::uint16_t min_body = 0;                          // bytes; a shorter request is malformed
  bool wants_node = true;                              // header.nodeid must be a node we gave out
  bool answers = true;                                 // false: the kernel expects no reply
  Done (*now)(Overlay&, Request&, Answer&) = nullptr;  // never waits
  ring::Task<Done> (*later)(Overlay&, Request&, Answer&) = nullptr;  // may wait for data
  /// Of a change that is no change when it is made twice: answers a request that comes again after
  /// it was done. Null: done twice is done once.
  Done (*again)(Overlay&, Request&, Answer&) = nullptr;
  std::uint16_t name_at = 0;  // bytes of the body before the new entry's name
  bool asleep = false;        // needs nothing of its node but the number
  bool dates = false;         // the kernel asks for its node's attributes again after this
};

/// By opcode. A row with a name and no handler is answered ENOSYS, which tells the kernel not to
/// ask again.
extern const std::array<OpRow, wire::kOpCount> kOps;

// Handlers, one an operation, by family.
#define UNI_NOW(name) Done name(Overlay&, Request&, Answer&)
#define UNI_LATER(name) ring::Task<Done> name(Overlay&, Request&, Answer&)
UNI_NOW(on_lookup);
UNI_NOW(on_forget);
UNI_NOW(on_batch_forget);
UNI_NOW(on_readlink);
UNI_NOW(on_symlink);
UNI_NOW(on_mknod);
UNI_NOW(on_mkdir);
UNI_NOW(on_unlink);
UNI_NOW(on_rmdir);
UNI_LATER(on_rename);
UNI_LATER(on_rename2);
UNI_LATER(on_link);
UNI_NOW(on_getattr);
UNI_LATER(on_setattr);
UNI_NOW(on_statx);
UNI_NOW(on_statfs);
UNI_NOW(on_open);
UNI_NOW(on_create);
UNI_NOW(on_tmpfile);
UNI_LATER(on_read);
UNI_LATER(on_write);
UNI_NOW(on_release);
UNI_LATER(on_fsync);
UNI_LATER(on_fallocate);
UNI_NOW(on_lseek);
UNI_LATER(on_copy_file_range);
UNI_LATER(on_ioctl);
UNI_NOW(on_syncfs);
UNI_NOW(on_readdir);
UNI_NOW(on_readdirplus);
UNI_LATER(on_fsyncdir);
UNI_LATER(on_setxattr);
UNI_NOW(on_getxattr);
UNI_NOW(on_listxattr);
UNI_LATER(on_removexattr);
UNI_NOW(on_destroy);
UNI_NOW(again_nothing);
UNI_NOW(again_entry);
UNI_NOW(again_open);
#undef UNI_NOW
#undef UNI_LATER

}  // namespace fusefs
