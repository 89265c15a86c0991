// Owns: nothing; one-line file operations which answer in words ("ok", "ENOENT", "0644") so that a
// failing comparison explains itself. Called by: every test that works on a real file system.
// Never: asserts, changes the caller's credentials, follows a symlink unless its name says so.
#pragma once
#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/fd.hpp"

namespace kernel_test {

/// What a system call did: "ok" for rc >= 0, else the name of errno ("EPERM").
std::string outcome(long rc);
inline std::string outcome(const base::Fd& fd) {
  return outcome(fd.get());
}

/// open(2) with O_CLOEXEC; an empty Fd on failure, with errno left as it is.
base::Fd open_at(const std::string& path, int flags, mode_t mode = 0644);
/// Writes `text` from the start. Answers the first call that failed.
std::string write_file(const std::string& path, const std::string& text, mode_t mode = 0644);
std::string append_file(const std::string& path, const std::string& text);
/// The whole content, or "<ENOENT>" and the like.
std::string read_file(const std::string& path);
std::string read_fd(int fd);
std::string make_dir(const std::string& path, mode_t mode = 0755);
std::string make_link(const std::string& target, const std::string& path);
std::string link_text(const std::string& path);
/// chown without following; sets plain ownership where no overlay stands between.
std::string own(const std::string& path, uid_t uid, gid_t gid);

/// lstat(2); all zero when there is no such file (st_nlink 0 tells).
struct stat stat_of(const std::string& path);
bool exists(const std::string& path);
/// "uid:gid", "0644" (07777 bits), "file"/"dir"/"link"/"fifo"/"sock"/"char"/"block"; "<ENOENT>".
std::string owner_of(const std::string& path);
std::string mode_of(const std::string& path);
std::string kind_of(const std::string& path);
/// Sorted names of a directory but "." and "..", separated by a space.
std::string names_in(const std::string& dir);

/// The value, or "<ENODATA>" and the like. None of the four follows a symlink.
std::string get_xattr(const std::string& path, const std::string& name);
std::string set_xattr(const std::string& path, const std::string& name, const std::string& value,
                      int flags = 0);
std::string remove_xattr(const std::string& path, const std::string& name);
/// Sorted names but security.selinux, separated by a space.
std::string list_xattr(const std::string& path);
/// A security.capability value (VFS_CAP_REVISION_2) that permits CAP_NET_RAW, effective.
std::string capability_value();

struct AclEntry {
  std::uint16_t tag = 0;  // ACL_USER_OBJ 1, USER 2, GROUP_OBJ 4, GROUP 8, MASK 16, OTHER 32
  std::uint16_t perm = 0;
  std::uint32_t id = 0xffffffff;
};
/// The bytes of system.posix_acl_access and system.posix_acl_default.
std::string acl_value(const std::vector<AclEntry>& entries);
/// "1:7 2(1000):5 4:5 16:7 32:0": the reverse, for comparing.
std::string acl_text(const std::string& value);

/// Runs `story` in a child with these credentials and umask 022; its answer comes back by a pipe.
/// "<killed 9>" when the child died of a signal.
std::string run_as(uid_t uid, gid_t gid, const std::vector<gid_t>& groups,
                   const std::function<std::string()>& story);
/// The same with chroot(root) before the credentials change.
std::string run_in(const std::string& root, uid_t uid, const std::function<std::string()>& story);

struct Ran {
  int status = -1;  // exit code; 128 + signal; -1: not started or not ended in time
  std::string out, err;
  bool pipes_closed = false;  // nobody holds stdout or stderr after the exit
};
/// Starts a program, waits `seconds` for its end and for the end of its pipes.
Ran run(const std::vector<std::string>& argv, const std::string& cwd = "", int seconds = 20);

/// The tree below `dir`, one line a name: path, kind, mode, owner, size, content, xattrs, link.
/// What must be equal in two places can be compared as one string.
std::string describe_tree(const std::string& dir);

}  // namespace kernel_test
