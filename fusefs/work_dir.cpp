#include "fusefs/work_dir.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstring>
#include <vector>

#include "ring/at.hpp"

namespace fusefs {
namespace {

namespace at = ring::at;

struct Level {
  base::Fd dir;
  std::string name;  // of this directory in the one above
  std::vector<std::string> left;
};

base::Result<Level> enter(int parent, const std::string& name) {
  TRY(dir, at::open({parent, name}, O_RDONLY | O_DIRECTORY));
  Level level{std::move(dir), name, {}};
  TRY_VOID(at::for_each_entry(level.dir.get(), [&](const at::Entry& entry) {
    level.left.emplace_back(entry.name);
    return true;
  }));
  return level;
}

}  // namespace

// An explicit stack: a container decides how deep this gets.
base::Result<> WorkDir::remove_tree(int dir, const std::string& name) {
  if (::unlinkat(dir, name.c_str(), 0) == 0 || errno == ENOENT) return base::Unit{};
  if (errno != EISDIR && errno != EPERM) return base::fail_errno();
  std::vector<Level> stack;
  TRY(top, enter(dir, name));
  stack.push_back(std::move(top));
  while (!stack.empty()) {
    Level& level = stack.back();
    if (level.left.empty()) {
      int parent = stack.size() > 1 ? stack[stack.size() - 2].dir.get() : dir;
      TRY_VOID(base::check(::unlinkat(parent, level.name.c_str(), AT_REMOVEDIR)));
      stack.pop_back();
      continue;
    }
    std::string child = std::move(level.left.back());
    level.left.pop_back();
    if (::unlinkat(level.dir.get(), child.c_str(), 0) == 0) continue;
    if (errno != EISDIR && errno != EPERM) return base::fail_errno();
    TRY(next, enter(level.dir.get(), child));
    stack.push_back(std::move(next));
  }
  return base::Unit{};
}

void WorkDir::clear() {
  auto all = enter(fd_, ".");
  if (!all) return;
  for (const std::string& name : all->left) (void)remove_tree(fd_, name);
}

base::Checked<base::Fd> WorkDir::prepare(const base::Fd& dir, const std::string& path) {
  auto complain = [&](int error) {
    return base::refuse("workdir " + path + "/work: " + std::strerror(error));
  };
  if (auto gone = remove_tree(dir.get(), "work"); !gone) return complain(gone.error().value);
  if (::mkdirat(dir.get(), "work", 0700) != 0) return complain(errno);
  auto made = at::open({dir.get(), "work"}, O_PATH | O_DIRECTORY);
  if (!made) return complain(made.error().value);
  return std::move(*made);
}

bool WorkDir::can_make_whiteout(const base::Fd& work) {
  if (::mknodat(work.get(), "#probe", S_IFCHR, makedev(0, 0)) != 0) return false;
  ::unlinkat(work.get(), "#probe", 0);
  return true;
}

}  // namespace fusefs
