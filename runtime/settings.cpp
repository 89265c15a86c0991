#include "runtime/settings.hpp"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cstring>

#include "base/fd.hpp"
#include "base/io.hpp"
#include "base/wait.hpp"

namespace oci {
namespace {

int write_setting(const Setting& setting) {
  base::Fd file(::open(setting_path(setting.name).c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid()) return errno;
  ssize_t put = ::write(file.get(), setting.value.data(), setting.value.size());
  return put < 0 ? errno : 0;
}

// In the child: 0, or the errno of what failed.
int enter_and_write(const Joined& where, const Setting& setting) {
  base::Fd target(::open(where.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!target.valid() || ::setns(target.get(), 0) != 0) return errno;
  return write_setting(setting);
}

base::Checked<base::Unit> make_one(const Setting& setting, const Joined& where) {
  if (setting_path(setting.name).empty())
    return base::refuse("linux.sysctl: \"" + setting.name.substr(0, 80) + "\" is no setting");
  pid_t child = ::fork();
  if (child < 0) return base::refuse_errno("fork");
  if (child == 0) ::_exit(enter_and_write(where, setting) & 0xff);
  const int status = base::wait_for(child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return base::Unit{};
  std::string why = WIFEXITED(status) ? std::strerror(WEXITSTATUS(status)) : "its writer died";
  return base::refuse("linux.sysctl: " + setting.name.substr(0, 80) + " can not be set in the " +
                      where.type + " namespace that the container joins (" + where.path +
                      "): " + why);
}

}  // namespace

std::string setting_path(std::string_view name) {
  std::string path = "/proc/sys/", part;
  for (std::size_t i = 0; i <= name.size(); ++i) {
    if (i < name.size() && name[i] != '.') {
      part += name[i] == '/' ? '.' : name[i];
      continue;
    }
    if (part.empty() || part == "." || part == ".." || part.find('\0') != part.npos) return {};
    path += part + (i < name.size() ? "/" : "");
    part.clear();
  }
  return path;
}

base::Checked<base::Unit> make_settings(std::span<const Setting> settings,
                                        std::span<const Joined> joined) {
  for (const Setting& setting : settings)
    for (const Joined& where : joined)
      if (where.type == setting.type) TRY_VOID(make_one(setting, where));
  return base::Unit{};
}

}  // namespace oci
