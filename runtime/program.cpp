#include "runtime/program.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/io.hpp"

namespace oci {
namespace {

bool is_program(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

bool is_us(const std::string& path) {
  struct stat there {
  }, here{};
  return ::stat(path.c_str(), &there) == 0 && ::stat("/proc/self/exe", &here) == 0 &&
         there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

std::string in_path(const std::string& name) {
  const char* value = std::getenv("PATH");
  std::string_view path = value ? value : "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
  while (!path.empty()) {
    std::string_view directory = path.substr(0, path.find(':'));
    path.remove_prefix(std::min(path.size(), directory.size() + 1));
    if (!directory.starts_with('/')) continue;  // the working directory is the bundle's
    std::string candidate = std::string(directory) + "/" + name;
    if (is_program(candidate) && !is_us(candidate)) return candidate;
  }
  return {};
}

}  // namespace

base::Checked<std::string> find_runtime(const std::string& wanted) {
  if (wanted.starts_with('/')) {
    if (!is_program(wanted))
      return base::refuse("runtime.program is " + wanted + ", which is no program");
    if (is_us(wanted))
      return base::refuse("runtime.program is " + wanted +
                          ", which is this program itself; it "
                          "has to be the runtime that does the work: crun or runc");
    return wanted;
  }
  if (wanted.find('/') != wanted.npos)
    return base::refuse("runtime.program is " + wanted + "; give a name or an absolute path");
  for (const std::string& name :
       wanted.empty() ? std::vector<std::string>{"crun", "runc"} : std::vector<std::string>{wanted})
    if (std::string found = in_path(name); !found.empty()) return found;
  return base::refuse((wanted.empty() ? "neither crun nor runc is in PATH"
                                      : "runtime.program is " + wanted + ", which is not in PATH") +
                      std::string("; install one, or set runtime.program to its path"));
}

bool joins_in_any_order(const std::string& program) {
  return program.substr(program.rfind('/') + 1).starts_with("crun");
}

bool takes_wait_killable(const std::string& program) {
  constexpr std::size_t kMost = 32 << 20;
  if (!joins_in_any_order(program)) return false;
  base::Fd file(::open(program.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0) return false;
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0 || size > kMost) return false;
  void* bytes = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (bytes == MAP_FAILED) return false;
  const std::string_view text(static_cast<const char*>(bytes), size);
  const bool found = text.find("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") != text.npos;
  ::munmap(bytes, size);
  return found;
}

base::Checked<base::Unit> become(const std::string& program, std::span<const char* const> words) {
  std::vector<char*> argv;
  argv.push_back(const_cast<char*>(program.c_str()));
  for (const char* word : words) argv.push_back(const_cast<char*>(word));
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  return base::refuse_errno(program);
}

}  // namespace oci
