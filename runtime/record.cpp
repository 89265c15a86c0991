#include "runtime/record.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/hash.hpp"
#include "base/io.hpp"
#include "runtime/json_file.hpp"

namespace oci {
namespace {

constexpr std::size_t kMostBytes = 65536;   // two maps of 340 lines, and paths
constexpr std::size_t kManyRecords = 128;   // more than so many containers: look for dead ones
constexpr std::size_t kMostLookedAt = 512;  // at one time

// Container ids are unique for one runtime and one --root only.
std::string name_of(const std::string& root, const std::string& id) {
  return base::fnv64_hex(root + "\n" + id) + ".json";
}

std::string text_of(const Json& json, const char* key) {
  auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Json json_of(const std::vector<Entered>& all) {
  Json list = Json::array();
  for (const Entered& one : all)
    list.push_back({{"type", one.type}, {"path", one.path}, {"inode", one.inode}});
  return list;
}

std::vector<Entered> entered_of(const Json& json) {
  std::vector<Entered> all;
  auto list = json.find("entered");
  if (list == json.end() || !list->is_array()) return all;
  for (const Json& one : *list)
    if (one.is_object() && one.contains("inode") && one["inode"].is_number_unsigned())
      all.push_back({text_of(one, "type"), text_of(one, "path"), one["inode"].get<ino_t>()});
  return all;
}

tl::unexpected<base::Failure> refuse_errno(const std::string& what) {
  return base::refuse_errno("record of the container: " + what);
}

}  // namespace

base::Checked<Records> Records::open(int parent) {
  if (::mkdirat(parent, "containers", 0700) != 0 && errno != EEXIST)
    return refuse_errno("containers");
  base::Fd directory(
      ::openat(parent, "containers", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.valid()) return refuse_errno("containers");
  return Records(std::move(directory));
}

base::Checked<base::Unit> Records::write(const std::string& root, const Record& record) const {
  forget_gone();
  Json json = {{"id", record.id},
               {"root", root},
               {"bundle", record.bundle},
               {"mode", record.mode},
               {"program", record.program},
               {"uids", record.uids},
               {"gids", record.gids},
               {"entered", json_of(record.entered)},
               {"supervised", record.supervised},
               {"created", static_cast<std::int64_t>(record.created)}};
  std::string text = json_text(json), name = name_of(root, record.id);
  std::string temporary = name + "." + std::to_string(::getpid());
  (void)::unlinkat(directory_.get(), temporary.c_str(), 0);
  base::Fd file(::openat(directory_.get(), temporary.c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return refuse_errno(temporary);
  if (!base::write_all(file.get(), text) ||
      ::renameat(directory_.get(), temporary.c_str(), directory_.get(), name.c_str()) != 0) {
    auto failed = refuse_errno(name);
    (void)::unlinkat(directory_.get(), temporary.c_str(), 0);
    return failed;
  }
  return base::Unit{};
}

std::optional<Record> Records::read_file(const std::string& name) const {
  base::Fd file(
      ::openat(directory_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return std::nullopt;
  auto text = base::read_all(file.get(), kMostBytes);
  if (!text) return std::nullopt;
  auto json = parse_object(*text, name);
  if (!json) return std::nullopt;
  Record record;
  record.id = text_of(*json, "id");
  record.bundle = text_of(*json, "bundle");
  record.mode = text_of(*json, "mode");
  record.program = text_of(*json, "program");
  record.uids = text_of(*json, "uids");
  record.gids = text_of(*json, "gids");
  record.entered = entered_of(*json);
  record.supervised = json->value("supervised", Json()) == true;
  return record;
}

std::optional<Record> Records::read(const std::string& root, const std::string& id) const {
  auto record = read_file(name_of(root, id));
  if (!record || record->id != id) return std::nullopt;
  return record;
}

void Records::remove(const std::string& root, const std::string& id) const {
  (void)::unlinkat(directory_.get(), name_of(root, id).c_str(), 0);
}

// A create that failed, or a delete that never came, leaves one behind.
void Records::forget_gone() const {
  int copy = ::openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return;
  std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(copy), ::closedir);
  if (!listing) {
    base::Fd unused(copy);
    return;
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(listing.get())) {
    std::string name = entry->d_name;
    if (name.starts_with('.')) continue;
    names.push_back(std::move(name));
    if (names.size() >= kMostLookedAt) break;
  }
  if (names.size() < kManyRecords) return;
  for (const std::string& name : names) {
    auto record = read_file(name);
    struct stat status {};
    bool gone = !record || record->bundle.empty() ||
                (::stat(record->bundle.c_str(), &status) != 0 && errno == ENOENT);
    if (gone) (void)::unlinkat(directory_.get(), name.c_str(), 0);
  }
}

}  // namespace oci
