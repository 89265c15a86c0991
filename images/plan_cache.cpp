#include "images/plan_cache.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <memory>

#include "base/io.hpp"
#include "images/files.hpp"

namespace images {
namespace {

// The first line; another form of the text gets another number.
constexpr std::string_view kTitle = "usernetes-identity plan 2";
constexpr std::string_view kEnd = "end";
constexpr std::size_t kMostText = 32 << 20;
constexpr std::size_t kMostFiles = 2000;  // then all are removed: they are made again when needed

std::string one_line(std::string_view text) {
  std::string line(text);
  for (char& c : line)
    if (c == '\n' || c == '\0') c = '?';
  return line;
}

void write_found(std::string& text, char kind, const Found& found) {
  for (const auto& [id, fact] : found.facts())
    text += std::string(1, kind) + " " + std::to_string(id) + " " +
            std::to_string(static_cast<int>(fact.weight)) + " " + std::to_string(fact.count) + " " +
            one_line(fact.origin) + "\n";
}

void write_ids(std::string& text, const FoundIds& found) {
  write_found(text, 'u', found.uids);
  write_found(text, 'g', found.gids);
  text += "d " + std::to_string(found.uids.dropped()) + " " + std::to_string(found.gids.dropped()) +
          "\n";
  for (const std::string& note : found.notes) text += "n " + one_line(note) + "\n";
}

std::string_view take_word(std::string_view& line) {
  const std::size_t blank = line.find(' ');
  std::string_view word = line.substr(0, blank);
  line = blank == line.npos ? std::string_view{} : line.substr(blank + 1);
  return word;
}

template <class Number>
bool take_number(std::string_view& line, Number& value) {
  std::string_view word = take_word(line);
  auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  return error == std::errc{} && stop == word.data() + word.size();
}

bool read_fact(std::string_view line, Found& found) {
  std::uint32_t id = 0, weight = 0, count = 0;
  if (!take_number(line, id) || !take_number(line, weight) || !take_number(line, count) ||
      weight > static_cast<std::uint32_t>(Weight::subid))
    return false;
  found.add(id, static_cast<Weight>(weight), line, count);
  return true;
}

// A section begins with "owners" or the path of an account file.
bool read_line(std::string_view line, LayerIds& layer, FoundIds*& section) {
  for (std::size_t i = 0; i < kAccountPaths.size(); ++i)
    if (line == kAccountPaths[i]) {
      section = &layer.accounts[i].emplace();
      return true;
    }
  if (line == "cut") return !(layer.complete = false);
  const std::string_view kind = take_word(line);
  if (kind == "u") return read_fact(line, section->uids);
  if (kind == "g") return read_fact(line, section->gids);
  if (kind == "d") {
    std::uint64_t uids = 0, gids = 0;
    if (!take_number(line, uids) || !take_number(line, gids) || !line.empty()) return false;
    section->uids.add_dropped(uids);
    section->gids.add_dropped(gids);
    return true;
  }
  if (kind == "n") section->note(std::string(line));
  return kind == "n";
}

base::Fd open_ours(const std::string& path) {
  base::Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_uid != ::geteuid() || (status.st_mode & 022) != 0 ||
      static_cast<std::uint64_t>(status.st_size) > kMostText)
    return base::Fd();
  return fd;
}

void make_directories(const std::string& path) {
  for (std::size_t at = 1; at != path.npos; ++at) {
    at = path.find('/', at);
    ::mkdir(path.substr(0, at).c_str(), 0700);
    if (at == path.npos) return;
  }
}

struct CloseDir {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

void make_room(const std::string& path) {
  std::unique_ptr<DIR, CloseDir> directory(::opendir(path.c_str()));
  if (!directory) return;
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory.get()))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  if (names.size() < kMostFiles) return;
  for (const std::string& name : names) ::unlinkat(::dirfd(directory.get()), name.c_str(), 0);
}

}  // namespace

std::string cache_key(const struct stat& status) {
  std::string key;
  for (std::uint64_t part : {std::uint64_t{status.st_dev}, std::uint64_t{status.st_ino},
                             static_cast<std::uint64_t>(status.st_size),
                             static_cast<std::uint64_t>(status.st_ctim.tv_sec),
                             static_cast<std::uint64_t>(status.st_ctim.tv_nsec)})
    key += (key.empty() ? "" : "-") + std::to_string(part);
  return key;
}

std::string cache_text(const LayerIds& layer) {
  std::string text = std::string(kTitle) + "\n";
  if (!layer.complete) text += "cut\n";
  write_ids(text, layer.owners);
  for (std::size_t i = 0; i < kAccountPaths.size(); ++i)
    if (layer.accounts[i]) {
      text.append(kAccountPaths[i]).append("\n");
      write_ids(text, *layer.accounts[i]);
    }
  return text.append(kEnd).append("\n");
}

std::optional<LayerIds> parse_cache(std::string_view text) {
  LayerIds layer;
  FoundIds* section = &layer.owners;
  bool titled = false;
  for (;;) {
    const std::size_t end = text.find('\n');
    if (end == text.npos) return std::nullopt;  // it was cut short
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (titled && line == kEnd)
      return text.empty() ? std::optional(std::move(layer)) : std::nullopt;
    if (titled ? !read_line(line, layer, section) : line != kTitle) return std::nullopt;
    titled = true;
  }
}

std::optional<LayerIds> PlanCache::load(const std::string& key) const {
  if (directory_.empty()) return std::nullopt;
  base::Fd fd = open_ours(directory_ + "/" + key);
  if (!fd.valid()) return std::nullopt;
  auto text = read_text(fd.get(), kMostText, key);
  return text ? parse_cache(*text) : std::nullopt;
}

void PlanCache::store(const std::string& key, const LayerIds& layer) const {
  if (directory_.empty()) return;
  make_directories(directory_);
  make_room(directory_);
  const std::string temporary = directory_ + "/." + key + "." + std::to_string(::getpid());
  base::Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return;
  if (!base::write_all(fd.get(), cache_text(layer)) ||
      ::rename(temporary.c_str(), (directory_ + "/" + key).c_str()) != 0)
    ::unlink(temporary.c_str());
}

}  // namespace images
