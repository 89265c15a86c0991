#include "tests/supervise/fuse_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace supervise_test {
namespace {

constexpr std::uint64_t kFile = 2;

}  // namespace

FuseFile::FuseFile(ring::Reactor& reactor, std::string content) : content_(std::move(content)) {
  dir_ = "/var/tmp/uni-fuse.XXXXXX";
  if (::mkdtemp(dir_.data()) == nullptr) std::abort();
  device_ = base::Fd(::open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  std::string options =
      "fd=" + std::to_string(device_.get()) + ",rootmode=40000,user_id=0,group_id=0,allow_other";
  EXPECT_EQ(::mount("test", dir_.c_str(), "fuse.test", 0, options.c_str()), 0)
      << std::strerror(errno);
  watch_ = reactor.watch(device_.get(), POLLIN, [this](int) { serve(); });
}

FuseFile::~FuseFile() {
  ::umount2(dir_.c_str(), MNT_DETACH);
  watch_ = {};
  device_.reset();
  ::rmdir(dir_.c_str());
}

void FuseFile::hold(std::function<void()> on_read) {
  held_ = true;
  on_read_ = std::move(on_read);
}

void FuseFile::release() {
  held_ = false;
  for (const auto& [unique, wanted] : std::exchange(waiting_, {})) read(unique, wanted);
}

void FuseFile::serve() {
  std::vector<char> buffer(FUSE_MIN_READ_BUFFER + 131072);
  while (::read(device_.get(), buffer.data(), buffer.size()) > 0) {
    fuse_in_header request;
    std::memcpy(&request, buffer.data(), sizeof request);
    answer(request, buffer.data() + sizeof request);
  }
}

void FuseFile::reply(std::uint64_t unique, int error, const void* body, std::size_t size) {
  fuse_out_header head{};
  head.len = static_cast<std::uint32_t>(sizeof head + size);
  head.error = -error;
  head.unique = unique;
  iovec parts[2] = {{&head, sizeof head}, {const_cast<void*>(body), size}};
  (void)!::writev(device_.get(), parts, 2);
}

void FuseFile::read(std::uint64_t unique, const fuse_read_in& wanted) {
  std::size_t from = std::min<std::size_t>(wanted.offset, content_.size());
  reply(unique, 0, content_.data() + from,
        std::min<std::size_t>(wanted.size, content_.size() - from));
}

void FuseFile::answer(const fuse_in_header& request, const char* body) {
  fuse_attr attributes{};
  const bool file = request.nodeid == kFile || request.opcode == FUSE_LOOKUP;
  attributes.ino = file ? kFile : 1;
  attributes.mode = file ? S_IFREG | 0755 : S_IFDIR | 0755;
  attributes.size = file ? content_.size() : 0;
  attributes.nlink = 1;
  switch (request.opcode) {
    case FUSE_INIT: {
      fuse_init_out out{};
      out.major = FUSE_KERNEL_VERSION, out.minor = 31;
      out.max_write = 131072, out.max_readahead = 0;
      return reply(request.unique, 0, &out, sizeof out);
    }
    case FUSE_LOOKUP: {
      if (std::strcmp(body, "data") != 0) return reply(request.unique, ENOENT);
      fuse_entry_out out{};
      out.nodeid = kFile, out.entry_valid = out.attr_valid = 3600, out.attr = attributes;
      return reply(request.unique, 0, &out, sizeof out);
    }
    case FUSE_GETATTR: {
      fuse_attr_out out{};
      out.attr_valid = 3600, out.attr = attributes;
      return reply(request.unique, 0, &out, sizeof out);
    }
    case FUSE_OPEN: {
      fuse_open_out out{};
      return reply(request.unique, 0, &out, sizeof out);
    }
    case FUSE_READ: {
      fuse_read_in wanted;
      std::memcpy(&wanted, body, sizeof wanted);
      ++reads;
      if (!held_) return read(request.unique, wanted);
      waiting_.emplace_back(request.unique, wanted);
      if (on_read_) on_read_();
      return;
    }
    case FUSE_RELEASE: return reply(request.unique, 0);
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT: return;
    default: return reply(request.unique, ENOSYS);
  }
}

}  // namespace supervise_test
