#include "runtime/json_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

namespace oci {
namespace {

tl::unexpected<base::Failure> refuse_errno(const std::string& path) {
  return base::refuse(path + ": " + std::strerror(errno));
}

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

base::Checked<base::Unit> write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return refuse_errno(path);
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return base::Unit{};
}

base::Checked<base::Unit> write_new(const std::string& path, const FileText& wanted) {
  base::Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return refuse_errno(path);
  TRY_VOID(write_all(file.get(), wanted.text, path));
  // Not ours to give: the engine reads it again as whoever wrote it.
  if ((wanted.uid != ::geteuid() || wanted.gid != ::getegid()) &&
      ::fchown(file.get(), wanted.uid, wanted.gid) != 0)
    return refuse_errno(path);
  if (::fchmod(file.get(), wanted.mode & 07777) != 0) return refuse_errno(path);
  return base::Unit{};
}

}  // namespace

base::Checked<std::string> read_all(int fd, std::size_t most) {
  std::string text;
  std::size_t have = 0;
  for (;;) {
    text.resize(std::min(most + 1, std::max<std::size_t>(have * 2, 65536)));
    ssize_t got = ::read(fd, text.data() + have, text.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::refuse(std::strerror(errno));
    have += static_cast<std::size_t>(got);
    if (have > most) return base::refuse("more than " + std::to_string(most) + " bytes");
    if (got == 0) break;
  }
  text.resize(have);
  return text;
}

base::Checked<FileText> read_regular(const std::string& path, std::size_t most) {
  // Not blocking: a fifo would keep us waiting for who writes into it.
  base::Fd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid() && errno == ELOOP)
    return base::refuse(path + ": is a symbolic link, which is not followed");
  if (!file.valid()) return refuse_errno(path);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return refuse_errno(path);
  if (!S_ISREG(status.st_mode)) return base::refuse(path + ": is not a regular file");
  auto text = read_all(file.get(), most);
  if (!text) return base::refuse(path + ": " + text.error().message);
  return FileText{std::move(*text), status.st_mode, status.st_uid, status.st_gid};
}

base::Checked<base::Unit> replace_file(const std::string& path, const FileText& wanted) {
  std::string temporary = path + ".usernetes-identity." + std::to_string(::getpid());
  (void)::unlink(temporary.c_str());  // of a process of this number that has died
  auto done = write_new(temporary, wanted);
  if (done && ::rename(temporary.c_str(), path.c_str()) != 0) done = refuse_errno(path);
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
