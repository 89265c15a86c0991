// Opening a node's top version.
#include <fcntl.h>

#include "fusefs/overlay.hpp"

namespace fusefs {

namespace at = ring::at;

// `flags` as of open(2); the access mode is widened where the kernel's write-back cache must read
// as well.
base::Result<std::shared_ptr<OpenFile>> Overlay::open(Node* node, int flags) {
  // The kernel opens fifos, sockets and devices itself: who asks us for one wants our rights on it.
  if (node->type != identity::NodeType::file) return base::fail(EINVAL);
  TRY(where, locate(node));
  int access = flags & O_ACCMODE;
  if (options_.writeback && access == O_WRONLY) access = O_RDWR;
  auto fd = at::open(where, access);
  if (!fd && access != (flags & O_ACCMODE) && fd.error().value == EACCES)
    fd = at::open(where, flags & O_ACCMODE);
  if (!fd) return tl::make_unexpected(fd.error());
  auto file = std::make_shared<OpenFile>(nodes_, node);
  file->fd = std::make_shared<const base::Fd>(std::move(*fd));
  file->flags = access;
  return file;
}

}  // namespace fusefs
