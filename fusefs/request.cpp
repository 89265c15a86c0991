#include "fusefs/request.hpp"

#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <map>

namespace fusefs {

std::shared_ptr<BufferPool> BufferPool::of_size(std::size_t size) {
  thread_local std::map<std::size_t, std::weak_ptr<BufferPool>> pools;
  std::weak_ptr<BufferPool>& known = pools[size];
  auto pool = known.lock();
  if (!pool) known = pool = std::make_shared<BufferPool>(size);
  return pool;
}

BufferPool::~BufferPool() {
  for (std::byte* p : free_) std::free(p);
}

Buffer BufferPool::take() {
  ++lent_;
  if (!free_.empty()) {
    Buffer buffer(free_.back(), Free{this});
    free_.pop_back();
    return buffer;
  }
  void* p = nullptr;
  if (::posix_memalign(&p, 4096, size_) != 0) std::abort();  // out of memory: nothing can be served
  // Who is killed while the kernel copies a request into a page that is not there yet makes it fail
  // (EIO): a dying process gets no page any more. So all of them are there before.
  auto* bytes = static_cast<std::byte*>(p);
  if (::madvise(p, size_, MADV_POPULATE_WRITE) != 0)
    for (std::size_t at = 0; at < size_; at += 4096) bytes[at] = std::byte{0};
  return Buffer(bytes, Free{this});
}

void BufferPool::give_back(std::byte* p) {
  --lent_;
  if (free_.size() < kKeep)
    free_.push_back(p);
  else
    std::free(p);
}

std::string namespaces_of(const std::string& pid) {
  std::string both;
  for (const char* kind : {"mnt", "user"}) {
    std::array<char, 64> link;
    ssize_t size = ::readlink(("/proc/" + pid + "/ns/" + kind).c_str(), link.data(), link.size());
    if (size <= 0) return {};
    both += (both.empty() ? "" : " ") + std::string(link.data(), static_cast<std::size_t>(size));
  }
  return both;
}

Caller caller_of(const Overlay& fs, const Request& request) {
  Caller caller;
  caller.owner = {fs.uids().truth(request.header.uid), fs.gids().truth(request.header.gid)};
  caller.privileged = request.header.uid == 0;
  caller.pid = static_cast<pid_t>(request.header.pid);
  return caller;
}

// A signal that kills is SIGKILL for each thread by the time it is pending (signal.c,
// complete_signal).
bool is_dying(std::uint32_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("SigPnd:"))
      return std::strtoull(line.c_str() + 7, nullptr, 16) & 1ull << (SIGKILL - 1);
  return false;
}

Done kill_privileges(Overlay& fs, const Request& request, Node* node) {
  TRY(raw, fs.stat(node));
  struct stat st = fs.present(*node, raw);
  bool lock_bit = (st.st_mode & (S_ISGID | S_IXGRP)) == S_ISGID;
  return fs.drop_privileges(node, lock_bit && fs.in_group(*node, caller_of(fs, request)));
}

Validity validity(const Overlay& fs) {
  double whole = 0;
  double part = std::modf(fs.options().timeout, &whole);
  return {static_cast<std::uint64_t>(whole), static_cast<std::uint32_t>(part * 1e9)};
}

fuse_attr to_attr(const struct stat& st) {
  fuse_attr attr{};
  attr.ino = st.st_ino;
  attr.size = static_cast<std::uint64_t>(st.st_size);
  attr.blocks = static_cast<std::uint64_t>(st.st_blocks);
  attr.atime = static_cast<std::uint64_t>(st.st_atim.tv_sec);
  attr.mtime = static_cast<std::uint64_t>(st.st_mtim.tv_sec);
  attr.ctime = static_cast<std::uint64_t>(st.st_ctim.tv_sec);
  attr.atimensec = static_cast<std::uint32_t>(st.st_atim.tv_nsec);
  attr.mtimensec = static_cast<std::uint32_t>(st.st_mtim.tv_nsec);
  attr.ctimensec = static_cast<std::uint32_t>(st.st_ctim.tv_nsec);
  attr.mode = st.st_mode;
  attr.nlink = static_cast<std::uint32_t>(st.st_nlink);
  attr.uid = st.st_uid;
  attr.gid = st.st_gid;
  // The kernel's own 32-bit form: minor in the low 8 and the high 12 bits.
  attr.rdev =
      (minor(st.st_rdev) & 0xff) | (major(st.st_rdev) << 8) | ((minor(st.st_rdev) & ~0xffu) << 12);
  attr.blksize = static_cast<std::uint32_t>(st.st_blksize);
  return attr;
}

fuse_entry_out to_entry(Overlay& fs, const Entry& entry) {
  fuse_entry_out out{};
  Validity valid = validity(fs);
  out.nodeid = entry.node->id;
  out.entry_valid = out.attr_valid = valid.seconds;
  out.entry_valid_nsec = out.attr_valid_nsec = valid.nanoseconds;
  out.attr = to_attr(fs.present(*entry.node, entry.st));
  fs.nodes().remember(entry.node);
  entry.node->told = true;
  return out;
}

fuse_attr_out to_attr_out(const Overlay& fs, Node& node, const struct stat& st) {
  fuse_attr_out out{};
  Validity valid = validity(fs);
  out.attr_valid = valid.seconds;
  out.attr_valid_nsec = valid.nanoseconds;
  out.attr = to_attr(fs.present(node, st));
  node.told = true;
  return out;
}

}  // namespace fusefs
