#include "runtime/json_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/io.hpp"

namespace oci {
namespace {

// The parser keeps a stack of its own, but what it makes costs memory, and later readers recurse.
base::Checked<base::Unit> check_shape(std::string_view text, const std::string& name) {
  std::size_t depth = 0, parts = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    in_string = c == '"';
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && depth > 0) --depth;
    if (c == '{' || c == '[' || c == ',' || c == ':') ++parts;
    if (depth > kMostJsonDepth)
      return base::refuse(name + ": more than " + std::to_string(kMostJsonDepth) +
                          " levels within each other");
    if (parts > kMostJsonParts)
      return base::refuse(name + ": more than " + std::to_string(kMostJsonParts) + " values");
  }
  return base::Unit{};
}

// Two runtimes may take different ones of two equal keys; we would have looked at a third.
class Keys {
 public:
  bool operator()(int, Json::parse_event_t event, const Json& parsed) {
    using Event = Json::parse_event_t;
    if (event == Event::object_start) open_.emplace_back();
    if (event == Event::object_end && !open_.empty()) open_.pop_back();
    if (event != Event::key || open_.empty()) return true;
    const auto& key = parsed.get_ref<const std::string&>();
    if (!open_.back().insert(key).second && twice.empty()) twice = key;
    return true;
  }
  std::string twice;

 private:
  std::vector<std::set<std::string>> open_;
};

base::Checked<base::Unit> write_new(const std::string& path, const FileText& wanted) {
  base::Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return base::refuse_errno(path);
  if (!base::write_all(file.get(), wanted.text)) return base::refuse_errno(path);
  // Not ours to give: the engine reads it again as whoever wrote it.
  if ((wanted.uid != ::geteuid() || wanted.gid != ::getegid()) &&
      ::fchown(file.get(), wanted.uid, wanted.gid) != 0)
    return base::refuse_errno(path);
  if (::fchmod(file.get(), wanted.mode & 07777) != 0) return base::refuse_errno(path);
  return base::Unit{};
}

}  // namespace

base::Checked<std::string> read_all(int fd, std::size_t most) {
  auto text = base::read_all(fd, most);
  if (text) return std::move(*text);
  if (text.error().value == EFBIG)
    return base::refuse("more than " + std::to_string(most) + " bytes");
  return base::refuse(std::strerror(text.error().value));
}

base::Checked<FileText> read_regular(const std::string& path, std::size_t most) {
  // Not blocking: a fifo would keep us waiting for who writes into it.
  base::Fd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid() && errno == ELOOP)
    return base::refuse(path + ": is a symbolic link, which is not followed");
  if (!file.valid()) return base::refuse_errno(path);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return base::refuse_errno(path);
  if (!S_ISREG(status.st_mode)) return base::refuse(path + ": is not a regular file");
  auto text = read_all(file.get(), most);
  if (!text) return base::refuse(path + ": " + text.error().message);
  return FileText{std::move(*text), status.st_mode, status.st_uid, status.st_gid};
}

base::Checked<base::Unit> replace_file(const std::string& path, const FileText& wanted) {
  std::string temporary = path + ".usernetes-identity." + std::to_string(::getpid());
  (void)::unlink(temporary.c_str());  // of a process of this number that has died
  auto done = write_new(temporary, wanted);
  if (done && ::rename(temporary.c_str(), path.c_str()) != 0) done = base::refuse_errno(path);
  if (!done) (void)::unlink(temporary.c_str());
  return done;
}

base::Checked<Json> parse_object(const std::string& text, const std::string& name) {
  TRY_VOID(check_shape(text, name));
  Keys keys;
  Json json = Json::parse(text, std::ref(keys), false);
  if (json.is_discarded()) return base::refuse(name + ": is not valid JSON");
  if (!keys.twice.empty())
    return base::refuse(name + ": the key \"" + keys.twice.substr(0, 80) +
                        "\" stands twice in one object");
  if (!json.is_object()) return base::refuse(name + ": is not a JSON object");
  return json;
}

std::string json_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace oci
