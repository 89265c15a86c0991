#include "tests/kernel/files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>

namespace kernel_test {
namespace {

std::string failed() {
  const char* name = strerrorname_np(errno);
  return "<" + std::string(name ? name : "E?") + ">";
}

std::string joined(std::vector<std::string> words) {
  std::sort(words.begin(), words.end());
  std::string all;
  for (const auto& word : words) all += (all.empty() ? "" : " ") + word;
  return all;
}

std::vector<std::string> entries_of(const std::string& dir) {
  std::vector<std::string> names;
  DIR* stream = opendir(dir.c_str());
  if (stream == nullptr) return {failed()};
  while (const dirent* entry = readdir(stream)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(stream);
  std::sort(names.begin(), names.end());
  return names;
}

std::string octal(mode_t mode) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%04o", mode);
  return text.data();
}

}  // namespace

std::string outcome(long rc) {
  if (rc >= 0) return "ok";
  const char* name = strerrorname_np(errno);
  return name ? name : "errno " + std::to_string(errno);
}

base::Fd open_at(const std::string& path, int flags, mode_t mode) {
  return base::Fd(open(path.c_str(), flags | O_CLOEXEC, mode));
}

namespace {
std::string write_with(const std::string& path, const std::string& text, int flags, mode_t mode) {
  const base::Fd fd = open_at(path, O_WRONLY | O_CREAT | O_NOFOLLOW | flags, mode);
  if (!fd.valid()) return outcome(-1);
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = write(fd.get(), text.data() + done, text.size() - done);
    if (count <= 0) return outcome(-1);
    done += static_cast<size_t>(count);
  }
  return "ok";
}
}  // namespace

std::string write_file(const std::string& path, const std::string& text, mode_t mode) {
  return write_with(path, text, O_TRUNC, mode);
}

std::string append_file(const std::string& path, const std::string& text) {
  return write_with(path, text, O_APPEND, 0644);
}

std::string read_fd(int fd) {
  std::string all;
  std::array<char, 65536> chunk{};
  while (true) {
    const ssize_t count = pread(fd, chunk.data(), chunk.size(), static_cast<off_t>(all.size()));
    if (count < 0) return failed();
    if (count == 0) return all;
    all.append(chunk.data(), static_cast<size_t>(count));
  }
}

std::string read_file(const std::string& path) {
  const base::Fd fd = open_at(path, O_RDONLY);
  return fd.valid() ? read_fd(fd.get()) : failed();
}

std::string make_dir(const std::string& path, mode_t mode) {
  return outcome(mkdir(path.c_str(), mode));
}

std::string make_link(const std::string& target, const std::string& path) {
  return outcome(symlink(target.c_str(), path.c_str()));
}

std::string link_text(const std::string& path) {
  std::array<char, 8192> text{};
  const ssize_t count = readlink(path.c_str(), text.data(), text.size());
  return count < 0 ? failed() : std::string(text.data(), static_cast<size_t>(count));
}

std::string own(const std::string& path, uid_t uid, gid_t gid) {
  return outcome(lchown(path.c_str(), uid, gid));
}

struct stat stat_of(const std::string& path) {
  struct stat st = {};
  if (lstat(path.c_str(), &st) != 0) st = {};
  return st;
}

bool exists(const std::string& path) {
  return stat_of(path).st_nlink > 0;
}

std::string owner_of(const std::string& path) {
  struct stat st = {};
  if (lstat(path.c_str(), &st) != 0) return failed();
  return std::to_string(st.st_uid) + ":" + std::to_string(st.st_gid);
}

std::string mode_of(const std::string& path) {
  struct stat st = {};
  return lstat(path.c_str(), &st) != 0 ? failed() : octal(st.st_mode & 07777);
}

std::string kind_of(const std::string& path) {
  struct stat st = {};
  if (lstat(path.c_str(), &st) != 0) return failed();
  switch (st.st_mode & S_IFMT) {
    case S_IFREG: return "file";
    case S_IFDIR: return "dir";
    case S_IFLNK: return "link";
    case S_IFIFO: return "fifo";
    case S_IFSOCK: return "sock";
    case S_IFCHR: return "char";
    case S_IFBLK: return "block";
    default: return "kind " + octal(st.st_mode);
  }
}

std::string names_in(const std::string& dir) {
  return joined(entries_of(dir));
}

std::string get_xattr(const std::string& path, const std::string& name) {
  std::string value(65536, '\0');
  const ssize_t count = lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
  if (count < 0) return failed();
  value.resize(static_cast<size_t>(count));
  return value;
}

std::string set_xattr(const std::string& path, const std::string& name, const std::string& value,
                      int flags) {
  return outcome(lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), flags));
}

std::string remove_xattr(const std::string& path, const std::string& name) {
  return outcome(lremovexattr(path.c_str(), name.c_str()));
}

std::string list_xattr(const std::string& path) {
  std::string list(65536, '\0');
  const ssize_t count = llistxattr(path.c_str(), list.data(), list.size());
  if (count < 0) return failed();
  std::vector<std::string> names;
  for (size_t at = 0; at < static_cast<size_t>(count);) {
    const std::string name = list.c_str() + at;
    at += name.size() + 1;
    if (name != "security.selinux") names.push_back(name);
  }
  return joined(names);
}

std::string capability_value() {
  const std::array<std::uint32_t, 5> words = {0x02000001, 1U << 13, 0, 0, 0};
  return {reinterpret_cast<const char*>(words.data()), sizeof words};
}

std::string acl_value(const std::vector<AclEntry>& entries) {
  std::string bytes("\2\0\0\0", 4);
  for (const auto& entry : entries) {
    bytes.append(reinterpret_cast<const char*>(&entry.tag), 2);
    bytes.append(reinterpret_cast<const char*>(&entry.perm), 2);
    bytes.append(reinterpret_cast<const char*>(&entry.id), 4);
  }
  return bytes;
}

std::string acl_text(const std::string& value) {
  if (value.size() < 4 || (value.size() - 4) % 8 != 0) return value;
  std::string text;
  for (size_t at = 4; at < value.size(); at += 8) {
    AclEntry entry;
    std::memcpy(&entry.tag, value.data() + at, 2);
    std::memcpy(&entry.perm, value.data() + at + 2, 2);
    std::memcpy(&entry.id, value.data() + at + 4, 4);
    const bool named = entry.tag == 2 || entry.tag == 8;
    text += (text.empty() ? "" : " ") + std::to_string(entry.tag) +
            (named ? "(" + std::to_string(entry.id) + ")" : "") + ":" + std::to_string(entry.perm);
  }
  return text;
}

std::string describe_tree(const std::string& dir) {
  std::ostringstream text;
  for (const auto& name : entries_of(dir)) {
    const std::string path = dir + "/" + name;
    const std::string kind = kind_of(path);
    text << name << ' ' << kind << ' ' << mode_of(path) << ' ' << owner_of(path);
    if (kind == "file") text << " [" << read_file(path) << "]";
    if (kind == "link") text << " -> " << link_text(path);
    if (kind == "char" || kind == "block") {
      const auto device = stat_of(path).st_rdev;
      text << ' ' << major(device) << ',' << minor(device);
    }
    std::istringstream xattrs(list_xattr(path));
    for (std::string xattr; xattrs >> xattr;) {
      const std::string value = get_xattr(path, xattr);
      const bool acl = xattr.rfind("system.posix_acl", 0) == 0;
      text << ' ' << xattr << '=' << (acl ? acl_text(value) : value);
    }
    text << '\n';
    if (kind != "dir") continue;
    std::istringstream below(describe_tree(path));
    for (std::string line; std::getline(below, line);) text << name << '/' << line << '\n';
  }
  return text.str();
}

}  // namespace kernel_test
