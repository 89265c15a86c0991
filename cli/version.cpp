#include "cli/version.hpp"

#define FUSE_USE_VERSION 314
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <liburing.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>

#include "ring/reactor.hpp"

namespace cli {
namespace {

const char* present(bool yes) {
  return yes ? "yes" : "no";
}

// A call with arguments that can not succeed: ENOSYS means that the kernel does not have it.
bool has_call(long number) {
  return ::syscall(number, -1, nullptr, 0, nullptr, 0, 0) >= 0 || errno != ENOSYS;
}

}  // namespace

std::string version_text() {
  utsname kernel{};
  ::uname(&kernel);
  auto reactor = ring::Reactor::make(8);
  constexpr long kListxattrat = 465, kFchmodat2 = 452;
  std::string text = "usernetes-identity " UNI_VERSION "\n";
  text += std::string("libfuse3 ") + ::fuse_pkgversion() + " (mounts; the protocol is our own)\n";
  text += "liburing " UNI_LIBURING_VERSION "\n";
  text += std::string("kernel ") + kernel.release + "\n";
  text += std::string("  io_uring: ") + (reactor ? "yes" : reactor.error().message) + "\n";
  text += std::string("  /dev/fuse: ") + present(::access("/dev/fuse", R_OK | W_OK) == 0) + "\n";
  text += std::string("  openat2 (5.6): ") + present(has_call(SYS_openat2)) + "\n";
  text += std::string("  open_tree (5.2): ") + present(has_call(SYS_open_tree)) + "\n";
  text += std::string("  fchmodat2 (6.6): ") + present(has_call(kFchmodat2)) + "\n";
  text += std::string("  listxattrat (6.13): ") + present(has_call(kListxattrat)) + "\n";
  return text;
}

}  // namespace cli
