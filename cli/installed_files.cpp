#include "cli/installed_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/fd.hpp"
#include "base/hash.hpp"
#include "base/io.hpp"

namespace cli {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostBytes = 1 << 20;

// What distinguishes what we wrote from what is there now: "file:HASH", "link:TARGET"; "" if there
// is nothing, "other" for what we never write.
std::string mark_of(const std::string& content, bool link) {
  if (link) return "link:" + content;
  return "file:" + base::fnv64_hex(content);
}

std::string mark_at(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0)
    return errno == ENOENT || errno == ENOTDIR ? "" : "other";
  if (S_ISLNK(status.st_mode)) {
    std::string target(4096, '\0');
    ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
    return length < 0 ? "other" : mark_of(target.substr(0, static_cast<std::size_t>(length)), true);
  }
  if (!S_ISREG(status.st_mode) || status.st_size > static_cast<off_t>(kMostBytes)) return "other";
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return mark_of(text.str(), false);
}

std::string parent_of(const std::string& path) {
  std::size_t slash = path.rfind('/');
  return slash == 0 || slash == path.npos ? "/" : path.substr(0, slash);
}

std::vector<std::string> texts(const Json& list) {
  std::vector<std::string> all;
  if (list.is_array())
    for (const Json& text : list)
      if (text.is_string()) all.push_back(text);
  return all;
}

}  // namespace

const char* deed_text(Deed deed, bool dry_run) {
  switch (deed) {
    case Deed::written: return dry_run ? "would write" : "wrote";
    case Deed::updated: return dry_run ? "would update" : "updated";
    case Deed::same: return "is right";
    case Deed::left: return dry_run ? "would leave" : "left";
    case Deed::removed: return dry_run ? "would remove" : "removed";
    case Deed::gone: break;
  }
  return "is gone";
}

base::Checked<InstalledFiles> InstalledFiles::read(const std::string& memory, bool dry_run) {
  InstalledFiles files(memory, dry_run);
  std::ifstream in(memory);
  if (!in) return files;
  Json noted = Json::parse(in, nullptr, false);
  if (!noted.is_object() || noted.value("version", Json()) != 1)
    return base::refuse(memory +
                        ": not a list of what was installed; move it away to install anew");
  if (noted.contains("files") && noted["files"].is_object())
    for (const auto& [path, mark] : noted["files"].items())
      if (mark.is_string()) files.marks_[path] = mark;
  if (noted.contains("directories")) files.directories_ = texts(noted["directories"]);
  return files;
}

base::Checked<Outcome> InstalledFiles::put(const Wanted& wanted) {
  std::string there = mark_at(wanted.path), mark = mark_of(wanted.content, wanted.link);
  auto noted = marks_.find(wanted.path);
  bool ours = noted != marks_.end() && noted->second == there;
  Outcome outcome{wanted.path, Deed::written, {}, wanted.content};
  if (there == mark) {
    outcome.deed = Deed::same;
    return outcome;
  }
  if (!there.empty() && !ours) {
    outcome.deed = Deed::left;
    outcome.why = noted != marks_.end() ? "it was changed since it was installed"
                                        : "it is there already, and not ours";
    return outcome;
  }
  if (!there.empty()) outcome.deed = Deed::updated;
  if (dry_run_) return outcome;
  TRY_VOID(make_directories(parent_of(wanted.path)));
  TRY_VOID(write(wanted));
  marks_[wanted.path] = mark;
  return outcome;
}

base::Checked<base::Unit> InstalledFiles::make_directories(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) return base::Unit{};
  TRY_VOID(make_directories(parent_of(path)));
  if (::mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) return base::refuse_errno(path);
  if (std::find(directories_.begin(), directories_.end(), path) == directories_.end())
    directories_.push_back(path);
  return base::Unit{};
}

// Beside its place first, so that a full disk leaves the old file whole.
base::Checked<base::Unit> InstalledFiles::write(const Wanted& wanted) {
  std::string beside = wanted.path + ".new";
  if (::unlink(beside.c_str()) != 0 && errno != ENOENT) return base::refuse_errno(beside);
  if (wanted.link) {
    if (::symlink(wanted.content.c_str(), beside.c_str()) != 0) return base::refuse_errno(beside);
  } else {
    base::Fd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
    if (!fd.valid()) return base::refuse_errno(beside);
    if (!base::write_all(fd.get(), wanted.content)) {
      auto refused = base::refuse_errno(beside);
      ::unlink(beside.c_str());
      return refused;
    }
  }
  if (::rename(beside.c_str(), wanted.path.c_str()) != 0) return base::refuse_errno(wanted.path);
  return base::Unit{};
}

Outcome InstalledFiles::remove(const std::string& path, const std::string& mark) {
  std::string there = mark_at(path);
  if (there.empty()) return {path, Deed::gone, {}, {}};
  if (there != mark) return {path, Deed::left, "it was changed since it was installed", {}};
  if (!dry_run_ && ::unlink(path.c_str()) != 0) return {path, Deed::left, std::strerror(errno), {}};
  return {path, Deed::removed, {}, {}};
}

base::Checked<std::vector<Outcome>> InstalledFiles::remove_all() {
  std::vector<Outcome> outcomes;
  for (const auto& [path, mark] : marks_) outcomes.push_back(remove(path, mark));
  if (dry_run_) return outcomes;
  // What is left is the user's from now on.
  marks_.clear();
  if (::unlink(memory_.c_str()) != 0 && errno != ENOENT) return base::refuse_errno(memory_);
  for (auto path = directories_.rbegin(); path != directories_.rend(); ++path)
    ::rmdir(path->c_str());  // if empty
  directories_.clear();
  return outcomes;
}

base::Checked<base::Unit> InstalledFiles::save() {
  if (dry_run_ || marks_.empty()) return base::Unit{};
  TRY_VOID(make_directories(parent_of(memory_)));
  Json noted = {{"version", 1}, {"files", marks_}, {"directories", directories_}};
  return write({memory_, noted.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"});
}

}  // namespace cli
