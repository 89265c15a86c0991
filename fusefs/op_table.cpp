#include "fusefs/op_table.hpp"

namespace fusefs {
namespace {

// Changes that made twice are not what they are made once, and what needs its node's number only.
constexpr void add_repeats(std::array<OpRow, wire::kOpCount>& t) {
  for (auto op :
       {FUSE_UNLINK, FUSE_RMDIR, FUSE_RENAME, FUSE_RENAME2, FUSE_RELEASE, FUSE_RELEASEDIR})
    t[op].again = again_nothing;
  for (auto op : {FUSE_SYMLINK, FUSE_MKNOD, FUSE_MKDIR, FUSE_LINK}) t[op].again = again_entry;
  t[FUSE_CREATE].again = again_open;
  t[FUSE_MKNOD].name_at = sizeof(fuse_mknod_in);
  t[FUSE_MKDIR].name_at = sizeof(fuse_mkdir_in);
  t[FUSE_LINK].name_at = sizeof(fuse_link_in);
  for (auto op : {FUSE_FORGET, FUSE_RELEASE, FUSE_RELEASEDIR}) t[op].asleep = true;
}

constexpr void add_dates(std::array<OpRow, wire::kOpCount>& t) {
  for (auto op : {FUSE_READ, FUSE_WRITE, FUSE_READLINK, FUSE_READDIR, FUSE_READDIRPLUS,
                  FUSE_SYMLINK, FUSE_MKNOD, FUSE_MKDIR, FUSE_UNLINK, FUSE_RMDIR, FUSE_RENAME,
                  FUSE_RENAME2, FUSE_LINK, FUSE_CREATE, FUSE_SETXATTR, FUSE_REMOVEXATTR,
                  FUSE_FALLOCATE, FUSE_COPY_FILE_RANGE, FUSE_IOCTL})
    t[op].dates = true;
}

constexpr std::array<OpRow, wire::kOpCount> make_table() {
  std::array<OpRow, wire::kOpCount> t{};
  t[FUSE_LOOKUP] = {.name = "lookup", .min_body = 2, .now = on_lookup};
  t[FUSE_FORGET] = {.name = "forget", .min_body = 8, .answers = false, .now = on_forget};
  t[FUSE_GETATTR] = {.name = "getattr", .min_body = 16, .now = on_getattr};
  t[FUSE_SETATTR] = {.name = "setattr", .min_body = 88, .later = on_setattr};
  t[FUSE_READLINK] = {.name = "readlink", .now = on_readlink};
  t[FUSE_SYMLINK] = {.name = "symlink", .min_body = 4, .now = on_symlink};
  t[FUSE_MKNOD] = {.name = "mknod", .min_body = 18, .now = on_mknod};
  t[FUSE_MKDIR] = {.name = "mkdir", .min_body = 10, .now = on_mkdir};
  t[FUSE_UNLINK] = {.name = "unlink", .min_body = 2, .now = on_unlink};
  t[FUSE_RMDIR] = {.name = "rmdir", .min_body = 2, .now = on_rmdir};
  t[FUSE_RENAME] = {.name = "rename", .min_body = 12, .later = on_rename};
  t[FUSE_LINK] = {.name = "link", .min_body = 10, .later = on_link};
  t[FUSE_OPEN] = {.name = "open", .min_body = 8, .now = on_open};
  t[FUSE_READ] = {.name = "read", .min_body = 40, .later = on_read};
  t[FUSE_WRITE] = {.name = "write", .min_body = 40, .later = on_write};
  t[FUSE_STATFS] = {.name = "statfs", .now = on_statfs};
  t[FUSE_RELEASE] = {.name = "release", .min_body = 24, .now = on_release};
  t[FUSE_FSYNC] = {.name = "fsync", .min_body = 16, .later = on_fsync};
  t[FUSE_SETXATTR] = {.name = "setxattr", .min_body = 10, .later = on_setxattr};
  t[FUSE_GETXATTR] = {.name = "getxattr", .min_body = 10, .now = on_getxattr};
  t[FUSE_LISTXATTR] = {.name = "listxattr", .min_body = 8, .now = on_listxattr};
  t[FUSE_REMOVEXATTR] = {.name = "removexattr", .min_body = 2, .later = on_removexattr};
  t[FUSE_FLUSH] = {.name = "flush"};  // close(2) has nothing to tell us: one request less
  t[FUSE_INIT] = {.name = "init", .min_body = 16, .wants_node = false};  // the session's own
  t[FUSE_OPENDIR] = {.name = "opendir"};  // kept by the kernel alone: two requests less
  t[FUSE_READDIR] = {.name = "readdir", .min_body = 40, .now = on_readdir};
  t[FUSE_RELEASEDIR] = {.name = "releasedir", .min_body = 24, .now = on_release};
  t[FUSE_FSYNCDIR] = {.name = "fsyncdir", .min_body = 16, .later = on_fsyncdir};
  t[FUSE_GETLK] = {.name = "getlk"};  // locks are the kernel's own: the flags for ours are not set
  t[FUSE_SETLK] = {.name = "setlk"};
  t[FUSE_SETLKW] = {.name = "setlkw"};
  t[FUSE_ACCESS] = {.name = "access"};  // default_permissions: the kernel judges
  t[FUSE_CREATE] = {.name = "create", .min_body = 18, .now = on_create};
  t[FUSE_INTERRUPT] = {.name = "interrupt", .min_body = 8, .wants_node = false, .answers = false};
  t[FUSE_BMAP] = {.name = "bmap"};
  t[FUSE_DESTROY] = {.name = "destroy", .wants_node = false, .now = on_destroy};
  t[FUSE_IOCTL] = {.name = "ioctl", .min_body = 32, .later = on_ioctl};
  t[FUSE_POLL] = {.name = "poll"};
  t[FUSE_NOTIFY_REPLY] = {.name = "notify_reply", .wants_node = false, .answers = false};
  t[FUSE_BATCH_FORGET] = {.name = "batch_forget",
                          .min_body = 8,
                          .wants_node = false,
                          .answers = false,
                          .now = on_batch_forget};
  t[FUSE_FALLOCATE] = {.name = "fallocate", .min_body = 32, .later = on_fallocate};
  t[FUSE_READDIRPLUS] = {.name = "readdirplus", .min_body = 40, .now = on_readdirplus};
  t[FUSE_RENAME2] = {.name = "rename2", .min_body = 20, .later = on_rename2};
  t[FUSE_LSEEK] = {.name = "lseek", .min_body = 24, .now = on_lseek};
  t[FUSE_COPY_FILE_RANGE] = {
      .name = "copy_file_range", .min_body = 56, .later = on_copy_file_range};
  t[FUSE_SETUPMAPPING] = {.name = "setupmapping"};
  t[FUSE_REMOVEMAPPING] = {.name = "removemapping"};
  t[wire::kOpSyncfs] = {.name = "syncfs", .now = on_syncfs};
  t[wire::kOpTmpfile] = {.name = "tmpfile", .min_body = 18, .now = on_tmpfile};
  t[wire::kOpStatx] = {.name = "statx", .min_body = 24, .now = on_statx};
  add_repeats(t);
  add_dates(t);
  return t;
}

// Opcodes 7 and 19 were never given out; 0 is none.
constexpr bool every_opcode_is_named(const std::array<OpRow, wire::kOpCount>& table) {
  for (std::size_t op = 1; op < table.size(); ++op)
    if (table[op].name.empty() && op != 7 && op != 19) return false;
  return true;
}

}  // namespace

constexpr std::array<OpRow, wire::kOpCount> kTable = make_table();
static_assert(every_opcode_is_named(kTable));
const std::array<OpRow, wire::kOpCount> kOps = kTable;

}  // namespace fusefs
