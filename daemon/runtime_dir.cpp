#include "daemon/runtime_dir.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/hash.hpp"
#include "base/io.hpp"

namespace serving {
namespace {

constexpr int kBacklog = 128;

std::string words_of(const std::string& path) {
  std::ifstream file(path);
  std::string all;
  for (std::string word; file >> word;) all += (all.empty() ? "" : " ") + word;
  return all;
}

// Whether only we can put names there.
base::Checked<base::Unit> check_private(const base::Fd& dir, const std::string& path) {
  struct stat st;
  if (::fstat(dir.get(), &st) != 0) return base::refuse_errno(path);
  if (st.st_uid != ::geteuid())
    return base::refuse(path + ": belongs to user " + std::to_string(st.st_uid) + ", not to us");
  if (st.st_mode & 022) return base::refuse(path + ": others may write there (chmod 0700 it)");
  return base::Unit{};
}

base::Checked<base::Fd> lock_file(const base::Fd& dir, const std::string& name,
                                  const std::string& path) {
  base::Fd lock(::openat(dir.get(), (name + ".lock").c_str(),
                         O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock.valid()) return base::refuse_errno(path + ".lock");
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    return base::refuse(path + ": another daemon listens there");
  return lock;
}

}  // namespace

std::string runtime_dir() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (!runtime || runtime[0] != '/') return {};
  return std::string(runtime) + "/usernetes-identity";
}

base::Checked<base::Fd> open_runtime_dir() {
  std::string path = runtime_dir();
  if (path.empty()) return base::refuse("XDG_RUNTIME_DIR is not set to a path");
  base::Fd above(::open(std::getenv("XDG_RUNTIME_DIR"), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!above.valid()) return base::refuse_errno("XDG_RUNTIME_DIR");
  ::mkdirat(above.get(), "usernetes-identity", 0700);
  base::Fd dir(
      ::openat(above.get(), "usernetes-identity", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir.valid()) return base::refuse_errno(path);
  TRY_VOID(check_private(dir, path));
  return dir;
}

IdMaps IdMaps::of_this_process() {
  return {words_of("/proc/self/uid_map"), words_of("/proc/self/gid_map")};
}

IdMaps IdMaps::of(pid_t process) {
  std::string path = "/proc/" + std::to_string(process);
  return {words_of(path + "/uid_map"), words_of(path + "/gid_map")};
}

std::uint64_t user_namespace() {
  struct stat st;
  return ::stat("/proc/self/ns/user", &st) == 0 ? st.st_ino : 0;
}

std::string service_socket() {
  return "control.sock";
}

std::string namespace_socket(const IdMaps& maps) {
  return "ns-" + base::fnv64_hex(maps.uids + "\n" + maps.gids) + ".sock";
}

std::string namespace_socket(const IdMaps& maps, std::uint64_t user_namespace) {
  std::string name = namespace_socket(maps);
  return name.substr(0, name.size() - 5) + "-" + std::to_string(user_namespace) + ".sock";
}

base::Checked<Listening> listen_at(const std::string& path) {
  std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return base::refuse(path + ": must be an absolute path");
  std::string above = slash == 0 ? "/" : path.substr(0, slash), name = path.substr(slash + 1);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return base::refuse(path + ": longer than the 107 bytes that a socket's path may have");
  std::memcpy(address.sun_path, path.c_str(), path.size());
  base::Fd dir(::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.valid()) return base::refuse_errno(above);
  TRY_VOID(check_private(dir, above));
  TRY(lock, lock_file(dir, name, path));
  base::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return base::refuse_errno("socket");
  // Under the lock: what is left there is a dead daemon's.
  if (::unlinkat(dir.get(), name.c_str(), 0) != 0 && errno != ENOENT)
    return base::refuse_errno(path);
  mode_t old = ::umask(0177);
  int bound = ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  int error = errno;
  ::umask(old);
  errno = error;
  if (bound != 0 || ::listen(socket.get(), kBacklog) != 0) return base::refuse_errno(path);
  return Listening{std::move(socket), std::move(lock), path};
}

}  // namespace serving
