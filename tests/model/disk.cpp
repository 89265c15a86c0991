// perform() and describe_disk(): the operations on a real directory.
#include <fcntl.h>
#include <sys/stat.h>

#include <map>
#include <sstream>

#include "tests/kernel/files.hpp"
#include "tests/model/operation.hpp"

namespace model_test {
namespace {

using kernel_test::outcome;
using Kind = Operation::Kind;

std::string write_at(const std::string& path, const Operation& op) {
  const int how = op.kind == Kind::append ? O_APPEND : op.kind == Kind::overwrite ? O_TRUNC : 0;
  const base::Fd fd = kernel_test::open_at(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | how);
  if (!fd.valid()) return outcome(-1);
  const ssize_t count = op.kind == Kind::write
                            ? pwrite(fd.get(), op.text.data(), op.text.size(), op.at)
                            : ::write(fd.get(), op.text.data(), op.text.size());
  if (count >= 0 && static_cast<size_t>(count) != op.text.size()) return "short write";
  return outcome(count);
}

std::string read_all(const std::string& path) {
  const base::Fd fd = kernel_test::open_at(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!fd.valid()) return outcome(-1);
  struct stat st = {};
  if (fstat(fd.get(), &st) == 0 && S_ISFIFO(st.st_mode)) return "[]";
  const std::string text = kernel_test::read_fd(fd.get());
  return text == "<EISDIR>" ? "EISDIR" : "[" + text + "]";
}

std::string look_at(const std::string& path) {
  const struct stat st = kernel_test::stat_of(path);
  if (st.st_nlink == 0 && st.st_mode == 0) return kernel_test::kind_of(path);
  std::ostringstream text;
  text << kernel_test::kind_of(path) << ' ' << std::oct << (st.st_mode & 07777) << std::dec << ' '
       << st.st_uid << ':' << st.st_gid;
  if (!S_ISDIR(st.st_mode)) text << " links " << st.st_nlink << " size " << st.st_size;
  return text.str();
}

std::string flagged_rename(const std::string& from, const std::string& to, unsigned flags) {
  return outcome(renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags));
}

std::string set_time(const std::string& path, long seconds) {
  const timespec both[2] = {{seconds, 0}, {seconds, 0}};
  return outcome(utimensat(AT_FDCWD, path.c_str(), both, AT_SYMLINK_NOFOLLOW));
}

}  // namespace

std::string perform(const std::string& root, const Operation& op) {
  const std::string path = root + "/" + op.path;
  const std::string other = root + "/" + op.other;
  const int make = O_CREAT | O_EXCL | O_WRONLY;
  switch (op.kind) {
    case Kind::create: return outcome(kernel_test::open_at(path, make, op.mode));
    case Kind::write:
    case Kind::append:
    case Kind::overwrite: return write_at(path, op);
    case Kind::truncate: return outcome(truncate(path.c_str(), op.at));
    case Kind::unlink: return outcome(unlink(path.c_str()));
    case Kind::mkdir: return outcome(mkdir(path.c_str(), op.mode));
    case Kind::rmdir: return outcome(rmdir(path.c_str()));
    case Kind::rename: return flagged_rename(path, other, 0);
    case Kind::noreplace: return flagged_rename(path, other, RENAME_NOREPLACE);
    case Kind::exchange: return flagged_rename(path, other, RENAME_EXCHANGE);
    case Kind::symlink: return outcome(symlink(op.other.c_str(), path.c_str()));
    case Kind::link: return outcome(link(path.c_str(), other.c_str()));
    case Kind::mkfifo: return outcome(mknod(path.c_str(), S_IFIFO | op.mode, 0));
    case Kind::mksock: return outcome(mknod(path.c_str(), S_IFSOCK | op.mode, 0));
    case Kind::chmod: return outcome(chmod(path.c_str(), op.mode));
    case Kind::chown: return outcome(lchown(path.c_str(), op.uid, op.gid));
    case Kind::utimens: return set_time(path, op.at);
    case Kind::setxattr: return kernel_test::set_xattr(path, op.name, op.text);
    case Kind::removexattr: return kernel_test::remove_xattr(path, op.name);
    case Kind::getxattr: return kernel_test::get_xattr(path, op.name);
    case Kind::read: return read_all(path);
    case Kind::readdir: return kernel_test::names_in(path);
    case Kind::stat: return look_at(path);
    case Kind::readlink: return kernel_test::link_text(path);
    default: return "ok";
  }
}

namespace {
void describe_below(const std::string& dir, const std::string& prefix,
                    std::map<ino_t, std::string>& first_names, std::ostringstream& text) {
  std::istringstream names(kernel_test::names_in(dir));
  for (std::string name; names >> name;) {
    const std::string path = dir + "/" + name;
    const struct stat st = kernel_test::stat_of(path);
    text << prefix << name << ' ' << look_at(path);
    if (S_ISREG(st.st_mode)) text << ' ' << read_all(path);
    if (S_ISLNK(st.st_mode)) text << " -> " << kernel_test::link_text(path);
    std::istringstream xattrs(kernel_test::list_xattr(path));
    for (std::string xattr; xattrs >> xattr;) {
      text << ' ' << xattr << '=' << kernel_test::get_xattr(path, xattr);
    }
    if (st.st_mtim.tv_sec >= 1000000 && st.st_mtim.tv_sec < 1001000) {
      text << " time " << st.st_mtim.tv_sec;
    }
    if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
      text << " is " << first_names.emplace(st.st_ino, prefix + name).first->second;
    }
    text << '\n';
    if (S_ISDIR(st.st_mode)) describe_below(path, prefix + name + "/", first_names, text);
  }
}
}  // namespace

std::string describe_disk(const std::string& root) {
  std::map<ino_t, std::string> first_names;
  std::ostringstream text;
  describe_below(root, "", first_names, text);
  return text.str();
}

}  // namespace model_test
