// Owns: one mounted FUSE file system from mount(2) to umount(2), through libfuse3.
// Called by: daemon/server, daemon/join. (The namespace is not the folder's name: daemon(3) has
// taken it.) Never: speaks the protocol: it only brings /dev/fuse and takes the mount away again.
#pragma once
#include <memory>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "config/mount_options.hpp"

struct fuse_session;

namespace serving {

class Mount {
 public:
  /// Mounts on options.mountpoint (any path form) as type fuse.<subtype>: by mount(2), or by
  /// fusermount3 where that is not allowed. The message is libfuse's own.
  static base::Checked<std::unique_ptr<Mount>> make(const config::MountOptions& options,
                                                    const std::string& subtype);
  ~Mount();
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  /// The connection, non-blocking. May be taken once.
  base::Fd take_device() { return std::move(device_); }
  const std::string& path() const { return path_; }
  /// Takes the mount out of the tree; it lives on until its last user is gone.
  void unmount();
  /// Lets the mount be: somebody else serves it.
  void leave();

 private:
  struct SessionFree {
    void operator()(fuse_session* session) const;
  };
  Mount() = default;
  std::string path_;
  base::Fd device_;
  std::unique_ptr<fuse_session, SessionFree> session_;  // libfuse's own, to unmount with
};

}  // namespace serving
