// Opening a node's top version.
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

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
  if (node->gone) keep_descriptor_of(node);
  auto file = std::make_shared<OpenFile>(nodes_, node);
  file->fd = std::make_shared<const base::Fd>(std::move(*fd));
  file->flags = access;
  return file;
}

// As on_open has it: what is not in the upper layer yet is opened for reading, whatever was asked.
base::Result<> Overlay::reopen(OpenFile& file) {
  Node* node = file.node.get();
  if (file.fd || node->is_dir()) return base::Unit{};
  TRY_VOID(awaken(node));
  TRY(where, locate(node));
  TRY(fd, at::open(where, in_upper(node) ? file.flags & O_ACCMODE : O_RDONLY));
  file.fd = std::make_shared<const base::Fd>(std::move(fd));
  return base::Unit{};
}

// Whether it has it open for reading or for writing is not known: what is asked for now is done.
base::Result<std::shared_ptr<OpenFile>> Overlay::unannounced(Node* node, bool writes) {
  auto writable = [](const OpenFile& file) { return (file.flags & O_ACCMODE) != O_RDONLY; };
  TRY_VOID(awaken(node));
  auto known = unannounced_.find(node->id);
  if (known && known->fd && (!writes || writable(*known))) return known;
  TRY(file, open(node, writes && in_upper(node) ? O_RDWR : O_RDONLY));
  if (!in_upper(node)) file->flags = O_RDWR;  // once it is copied up
  unannounced_.put(file);
  return file;
}

bool Overlay::can_open_later() const {
  if (!stack_.writable || !stack_.local) return false;
  // A file that became read-only behind a writer must still take his pages.
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  return ::syscall(SYS_capget, &head, data) == 0 && data[0].effective & 1u << CAP_DAC_OVERRIDE;
}

}  // namespace fusefs
