#include "tests/kernel/takeover_clients.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <set>

#include "tests/kernel/files.hpp"

namespace kernel_test {

namespace {

constexpr int kNames = 24;

long long now_ms() {
  timespec ts;
  ::clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

// Names of a directory in the order in which they come; an error is the last of them.
std::vector<std::string> entries_of(const std::string& dir, unsigned pause_us) {
  std::vector<std::string> names;
  DIR* open = ::opendir(dir.c_str());
  if (!open) return {"opendir " + outcome(-1)};
  errno = 0;
  while (const dirent* entry = ::readdir(open)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    if (pause_us && names.size() % 500 == 0) ::usleep(pause_us);
    errno = 0;
  }
  if (errno) names.push_back("readdir " + outcome(-1));
  ::closedir(open);
  return names;
}

// Quotes no more of a content than a reader needs.
std::string brief(const std::string& text) {
  return text.size() < 200 ? text : text.substr(0, 60) + "... of " + std::to_string(text.size());
}

}  // namespace

void Client::expect(const std::string& what, const std::string& got, const std::string& wanted) {
  if (got != wanted && wrong_.empty())
    wrong_ = "operation " + std::to_string(operations_) + " " + what + ": " + brief(got) +
             ", not " + brief(wanted);
}

std::string Client::any_name() {
  return "n" + std::to_string(below(kNames));
}

std::string Client::any_text() {
  const std::size_t size = below(20) == 0 ? 300000 : below(6000);
  std::string text = std::to_string(random_()) + ",";
  while (text.size() < size) text += text;
  return text.substr(0, size);
}

void Client::create(const std::string& name) {
  const base::Fd fd = open_at(path(name), O_CREAT | O_EXCL | O_RDWR, 0644);
  expect("create " + name, outcome(fd), files_.count(name) ? "EEXIST" : "ok");
  if (!fd.valid()) return;
  const std::string text = any_text();
  expect("write", std::to_string(::write(fd.get(), text.data(), text.size())),
         std::to_string(text.size()));
  if (below(3) == 0) expect("fsync", outcome(::fsync(fd.get())), "ok");
  files_[name] = std::make_shared<File>(File{text, ""});
}

void Client::write_at(const std::string& name) {
  const Found found = files_.find(name);
  const base::Fd fd = open_at(path(name), O_RDWR);
  expect("open " + name, outcome(fd), found == files_.end() ? "ENOENT" : "ok");
  if (!fd.valid() || found == files_.end()) return;
  std::string& content = found->second->content;
  const std::string text = any_text();
  const std::size_t at = below(content.size() + 1);
  expect("pwrite",
         std::to_string(::pwrite(fd.get(), text.data(), text.size(), static_cast<off_t>(at))),
         std::to_string(text.size()));
  if (content.size() < at + text.size()) content.resize(at + text.size());
  content.replace(at, text.size(), text);
  if (below(2) == 0) expect("fsync", outcome(::fsync(fd.get())), "ok");
}

void Client::rename(const std::string& name) {
  constexpr unsigned kFlags[] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE};
  const unsigned flags = kFlags[below(3)];
  const std::string to = any_name();
  const Found from = files_.find(name), target = files_.find(to);
  const bool there = target != files_.end();
  std::string wanted = "ok";
  if (from == files_.end() || (flags == RENAME_EXCHANGE && !there)) wanted = "ENOENT";
  if (wanted == "ok" && flags == RENAME_NOREPLACE && there) wanted = "EEXIST";
  const std::string got =
      outcome(::renameat2(AT_FDCWD, path(name).c_str(), AT_FDCWD, path(to).c_str(), flags));
  // Which of two errors comes first is the kernel's affair.
  if (wanted != "ok" && got != "ok") return;
  expect("rename " + name + " to " + to + " flags " + std::to_string(flags), got, wanted);
  if (wanted != "ok" || name == to) return;
  if (flags == RENAME_EXCHANGE) {
    std::swap(from->second, target->second);
  } else if (!there || target->second != from->second) {
    files_[to] = from->second;
    files_.erase(name);
  }
}

void Client::unlink(const std::string& name) {
  expect("unlink " + name, outcome(::unlink(path(name).c_str())),
         files_.count(name) ? "ok" : "ENOENT");
  files_.erase(name);
}

void Client::link(const std::string& name) {
  const std::string to = any_name();
  const std::string wanted = !files_.count(name) ? "ENOENT" : files_.count(to) ? "EEXIST" : "ok";
  expect("link " + name + " to " + to, outcome(::link(path(name).c_str(), path(to).c_str())),
         wanted);
  if (wanted == "ok") files_[to] = files_[name];
}

void Client::read(const std::string& name) {
  const Found found = files_.find(name);
  if (found == files_.end()) return expect("read " + name, read_file(path(name)), "<ENOENT>");
  const base::Fd fd = open_at(path(name), O_RDONLY);
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  expect("read " + name, read_fd(fd.get()), found->second->content);
}

void Client::truncate(const std::string& name) {
  const Found found = files_.find(name);
  const std::size_t size = below(5000);
  expect("truncate " + name, outcome(::truncate(path(name).c_str(), static_cast<off_t>(size))),
         found == files_.end() ? "ENOENT" : "ok");
  if (found != files_.end()) found->second->content.resize(size);
}

void Client::mark(const std::string& name) {
  const Found found = files_.find(name);
  if (found == files_.end()) return;
  std::string& mark = found->second->mark;
  if (below(2) == 0) {
    expect("set mark of " + name, set_xattr(path(name), "user.mark", "m", XATTR_CREATE),
           mark.empty() ? "ok" : "EEXIST");
    mark = "m";
  } else {
    expect("remove mark of " + name, remove_xattr(path(name), "user.mark"),
           mark.empty() ? "ENODATA" : "ok");
    mark.clear();
  }
}

void Client::unlink_open(const std::string& name) {
  const Found found = files_.find(name);
  if (found == files_.end()) return;
  const base::Fd fd = open_at(path(name), O_RDWR);
  expect("unlink open " + name, outcome(::unlink(path(name).c_str())), "ok");
  const std::shared_ptr<File> file = found->second;  // which may have other names
  std::string& content = file->content;
  files_.erase(found);
  for (int i = 0; i < 4; ++i) {
    const std::string text = any_text();
    expect("write unlinked",
           std::to_string(
               ::pwrite(fd.get(), text.data(), text.size(), static_cast<off_t>(content.size()))),
           std::to_string(text.size()));
    content += text;
    if (i % 2) expect("fsync unlinked", outcome(::fsync(fd.get())), "ok");
  }
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  expect("read unlinked", read_fd(fd.get()), content);
}

void Client::unnamed(const std::string& name) {
  const base::Fd fd = open_at(dir_, O_TMPFILE | O_RDWR);
  expect("O_TMPFILE", outcome(fd), "ok");
  if (!fd.valid()) return;
  const std::string text = any_text();
  expect("write unnamed", std::to_string(::write(fd.get(), text.data(), text.size())),
         std::to_string(text.size()));
  if (below(2) == 0) return;
  const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
  expect("give a name " + name,
         outcome(::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, path(name).c_str(), AT_SYMLINK_FOLLOW)),
         files_.count(name) ? "EEXIST" : "ok");
  if (!files_.count(name)) files_[name] = std::make_shared<File>(File{text, ""});
}

// A directory's whole life.
void Client::directory() {
  const std::string a = path("dir-a"), b = path("dir-b");
  expect("mkdir", make_dir(a), "ok");
  expect("file in it", write_file(a + "/inside", "in"), "ok");
  expect("directory in it", make_dir(a + "/deep"), "ok");
  expect("rename of it", outcome(::rename(a.c_str(), b.c_str())), "ok");
  expect("names in it", names_in(b), "deep inside");
  expect("read in it", read_file(b + "/inside"), "in");
  expect("rmdir of the full", outcome(::rmdir(b.c_str())), "ENOTEMPTY");
  expect("unlink in it", outcome(::unlink((b + "/inside").c_str())), "ok");
  expect("rmdir in it", outcome(::rmdir((b + "/deep").c_str())), "ok");
  expect("rmdir", outcome(::rmdir(b.c_str())), "ok");
}

void Client::symlink() {
  const std::string link = path("link");
  expect("symlink", make_link("somewhere", link), "ok");
  expect("readlink", link_text(link), "somewhere");
  expect("chmod", outcome(::chmod(dir_.c_str(), 0755)), "ok");
  expect("unlink of the link", outcome(::unlink(link.c_str())), "ok");
}

void Client::list_own() {
  std::string wanted;
  for (const auto& [name, file] : files_) wanted += (wanted.empty() ? "" : " ") + name;
  expect("names", names_in(dir_), wanted);
}

void Client::list_big() {
  const std::vector<std::string> names = entries_of(big_, 2000);
  const std::set<std::string> once(names.begin(), names.end());
  expect("big listing", std::to_string(names.size()), std::to_string(big_names_));
  expect("each name once", std::to_string(once.size()), std::to_string(big_names_));
}

void Client::step() {
  ++operations_;
  const std::string name = any_name();
  switch (below(15)) {
    case 0:
    case 1: return create(name);
    case 2:
    case 3: return write_at(name);
    case 4:
    case 5: return rename(name);
    case 6: return unlink(name);
    case 7: return link(name);
    case 8: return read(name);
    case 9: return truncate(name);
    case 10: return mark(name);
    case 11: return unlink_open(name);
    case 12: return unnamed(name);
    case 13: return below(2) ? directory() : symlink();
    default: return below(4) ? list_own() : list_big();
  }
}

std::string Client::play(int milliseconds) {
  const long long end = now_ms() + milliseconds;
  while (wrong_.empty() && now_ms() < end) step();
  return wrong_;
}

std::string Client::check() {
  list_own();
  for (const auto& [name, file] : files_) {
    read(name);
    expect("mark of " + name, get_xattr(path(name), "user.mark"),
           file->mark.empty() ? "<ENODATA>" : file->mark);
    nlink_t links = 0;
    for (const auto& other : files_) links += other.second == file;
    expect("links of " + name, std::to_string(stat_of(path(name)).st_nlink), std::to_string(links));
  }
  return wrong_;
}

}  // namespace kernel_test
