#include "runtime/image_root.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include <vector>

#include "base/fd.hpp"
#include "runtime/json_file.hpp"

namespace oci {
namespace {

constexpr long kFuse = 0x65735546;  // FUSE_SUPER_MAGIC, statfs(2)
constexpr std::size_t kMostMountinfo = 4 << 20;

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty() && words.size() < 5) {
    std::size_t end = std::min(line.size(), line.find(' '));
    words.push_back(line.substr(0, end));
    line.remove_prefix(std::min(line.size(), end + 1));
  }
  return words;
}

}  // namespace

// "36 35 98:0 /root /mount/point options...": proc(5). A path with a blank is escaped, which none
// of podman's has.
std::string merged_mount(std::string_view mountinfo, std::string_view device) {
  while (!mountinfo.empty()) {
    std::size_t end = std::min(mountinfo.size(), mountinfo.find('\n'));
    auto words = words_of(mountinfo.substr(0, end));
    if (words.size() == 5 && words[2] == device && words[3] == "/" && words[4].ends_with("/merged"))
      return std::string(words[4]);
    mountinfo.remove_prefix(std::min(mountinfo.size(), end + 1));
  }
  return {};
}

ImageRoot image_root(const std::string& root) {
  struct stat status {};
  struct statfs kind {};
  if (::stat(root.c_str(), &status) != 0 || ::statfs(root.c_str(), &kind) != 0) return {root};
  base::Fd file(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  std::string device =
      std::to_string(major(status.st_dev)) + ":" + std::to_string(minor(status.st_dev));
  auto text = read_all(file.get(), kMostMountinfo);
  std::string merged = text ? merged_mount(*text, device) : std::string();
  if (!merged.empty()) return {merged};
  return {root, kind.f_type == kFuse};
}

}  // namespace oci
