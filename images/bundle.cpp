#include "images/bundle.hpp"

#include <fcntl.h>

#include <cstdlib>
#include <cstring>

#include "base/fd.hpp"
#include "images/rootfs.hpp"

namespace images {

base::Checked<FoundIds> read_bundle_root(const std::string& root, const std::string&) {
  base::Fd fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return base::refuse(root + ": " + std::strerror(errno));
  return read_accounts(fd.get());
}

std::string default_cache_dir() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache && *cache == '/') return std::string(cache) + "/usernetes-identity/plan";
  const char* home = std::getenv("HOME");
  return home && *home == '/' ? std::string(home) + "/.cache/usernetes-identity/plan" : "";
}

}  // namespace images
