#include "images/tar.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace images {
namespace {

constexpr std::size_t kPiece = 16 * 1024;
constexpr std::size_t kMostPath = 4096;

std::string from_root(std::string_view path) {
  for (;;) {
    if (path.starts_with('/'))
      path.remove_prefix(1);
    else if (path.starts_with("./"))
      path.remove_prefix(2);
    else
      break;
  }
  while (path.ends_with('/')) path.remove_suffix(1);
  return std::string(path == "." ? "" : path.substr(0, kMostPath));
}

std::string_view last_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

bool is_id(std::int64_t id) {
  return id >= 0 && id < std::int64_t{identity::kNoId};
}

}  // namespace

Tar::Tar(const ArchiveLibrary& calls, std::string name, ByteSource source, int seek_fd,
         Meter& meter)
    : calls_(calls),
      name_(std::move(name)),
      source_(std::move(source)),
      seek_fd_(seek_fd),
      meter_(meter),
      archive_(calls.archive_read_new()),
      buffer_(std::make_unique<char[]>(kPiece)) {}

Tar::~Tar() {
  calls_.archive_read_free(archive_);
}

base::Checked<std::unique_ptr<Tar>> Tar::open(std::string name, ByteSource source, int seek_fd,
                                              Meter& meter) {
  TRY(calls, archive_library());
  std::unique_ptr<Tar> tar(new Tar(*calls, std::move(name), std::move(source), seek_fd, meter));
  TRY_VOID(tar->begin());
  return tar;
}

base::Checked<std::unique_ptr<Tar>> Tar::open_file(std::string name, int fd, Meter& meter) {
  auto source = [fd](std::span<char> buffer) -> ssize_t {
    return ::read(fd, buffer.data(), buffer.size());
  };
  struct stat status {};
  const bool seekable = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  return open(std::move(name), source, seekable ? fd : -1, meter);
}

base::Checked<base::Unit> Tar::begin() {
  if (!archive_) return base::refuse(name_ + ": no memory to read it");
  calls_.archive_read_support_filter_gzip(archive_);
  calls_.archive_read_support_filter_zstd(archive_);
  calls_.archive_read_support_filter_xz(archive_);
  calls_.archive_read_support_filter_bzip2(archive_);
  calls_.archive_read_support_format_tar(archive_);
  calls_.archive_read_support_format_empty(archive_);
  calls_.archive_read_set_options(archive_, "hdrcharset=BINARY");  // names are bytes
  calls_.archive_read_set_callback_data(archive_, this);
  calls_.archive_read_set_read_callback(archive_, on_read);
  if (seek_fd_ >= 0) calls_.archive_read_set_skip_callback(archive_, on_skip);
  const int opened = calls_.archive_read_open1(archive_);
  if (meter_.stopped()) return base::Unit{};  // next() finds nothing
  if (opened < ARCHIVE_WARN) return trouble("is no tar archive");
  compressed_ = calls_.archive_filter_count(archive_) > 1;
  // Compressed twice, each piece of ours could become a million times as much.
  if (calls_.archive_filter_count(archive_) > 2)
    return base::refuse(name_ + ": is compressed more than once, which no image is");
  return base::Unit{};
}

bool Tar::spend() {
  return meter_.spend_bytes(static_cast<std::uint64_t>(
      std::max<la_int64_t>(calls_.archive_filter_bytes(archive_, 0), 0)));
}

// libarchive passes over what nobody reads in one go, and 2 KB of bzip2 can be 2 GB. So we do it,
// piece by piece.
void Tar::pass_over_content() {
  const void* block = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  while (calls_.archive_read_data_block(archive_, &block, &size, &offset) == ARCHIVE_OK &&
         spend()) {
  }
}

la_ssize_t Tar::on_read(::archive* archive, void* self, const void** buffer) {
  Tar& tar = *static_cast<Tar*>(self);
  if (!tar.spend()) {
    tar.calls_.archive_set_error(archive, ECANCELED, "%s", "a limit was reached");
    return ARCHIVE_FATAL;
  }
  *buffer = tar.buffer_.get();
  const ssize_t got = tar.source_({tar.buffer_.get(), kPiece});
  if (got < 0) tar.calls_.archive_set_error(archive, EIO, "%s", "it can not be read");
  return got < 0 ? la_ssize_t{ARCHIVE_FATAL} : got;
}

la_int64_t Tar::on_skip(::archive*, void* self, la_int64_t request) {
  const int fd = static_cast<Tar*>(self)->seek_fd_;
  const off_t now = ::lseek(fd, 0, SEEK_CUR);
  struct stat status {};
  if (now < 0 || ::fstat(fd, &status) != 0) return 0;
  // Not beyond the end: that it is missing must be noticed.
  const off_t to = std::min<off_t>(status.st_size, now + request);
  return to > now && ::lseek(fd, to, SEEK_SET) == to ? to - now : 0;
}

tl::unexpected<base::Failure> Tar::trouble(const std::string& when) const {
  const char* text = calls_.archive_error_string(archive_);
  return base::refuse(name_ + ": " + when + (text ? std::string(": ") + text : ""));
}

base::Checked<std::optional<Tar::Entry>> Tar::next() {
  if (entry_ && compressed_) pass_over_content();
  for (;;) {
    if (!meter_.spend_file()) return std::optional<Entry>();
    const int code = calls_.archive_read_next_header(archive_, &entry_);
    if (code == ARCHIVE_EOF || meter_.stopped()) return std::optional<Entry>();
    if (code == ARCHIVE_RETRY) continue;
    if (code < ARCHIVE_WARN)
      return entries_ == 0 ? trouble("is no tar archive")
                           : trouble("is damaged after entry " + std::to_string(entries_));
    break;
  }
  ++entries_;
  const char* path = calls_.archive_entry_pathname(entry_);
  if (!path) path = calls_.archive_entry_pathname_utf8(entry_);
  Entry entry;
  entry.path = from_root(path ? path : "?");
  entry.size =
      static_cast<std::uint64_t>(std::max<la_int64_t>(calls_.archive_entry_size(entry_), 0));
  entry.regular = calls_.archive_entry_filetype(entry_) == AE_IFREG;
  entry.link = calls_.archive_entry_hardlink(entry_) != nullptr;
  entry.uid = calls_.archive_entry_uid(entry_);
  entry.gid = calls_.archive_entry_gid(entry_);
  return std::optional(std::move(entry));
}

ssize_t Tar::read(std::span<char> buffer) {
  return calls_.archive_read_data(archive_, buffer.data(), buffer.size());
}

std::optional<std::string> Tar::read_all(std::size_t limit) {
  std::string text;
  std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t got = read(buffer);
    if (got == 0) return text;
    if (got < 0 || text.size() + static_cast<std::size_t>(got) > limit) return std::nullopt;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

std::optional<Owner> Tar::owner(const Entry& entry) const {
  auto value = [this](std::string_view key) -> std::optional<std::string_view> {
    const char* name = nullptr;
    const void* bytes = nullptr;
    std::size_t size = 0;
    std::optional<std::string_view> found;
    while (calls_.archive_entry_xattr_next(entry_, &name, &bytes, &size) == ARCHIVE_OK)
      if (name && key == name) found = std::string_view(static_cast<const char*>(bytes), size);
    calls_.archive_entry_xattr_reset(entry_);
    return found;
  };
  if (calls_.archive_entry_xattr_reset(entry_) == 0) {
    if (!is_id(entry.uid) || !is_id(entry.gid)) return std::nullopt;
    return Owner{static_cast<Id>(entry.uid), static_cast<Id>(entry.gid)};
  }
  Owner plain{is_id(entry.uid) ? static_cast<Id>(entry.uid) : identity::kNoId,
              is_id(entry.gid) ? static_cast<Id>(entry.gid) : identity::kNoId};
  Owner owner = owner_by_records(plain, value);
  if (owner.uid == identity::kNoId || owner.gid == identity::kNoId) return std::nullopt;
  return owner;
}

void take_entry(Tar& tar, const Tar::Entry& entry, LayerIds& layer) {
  if (entry.link || last_name(entry.path).starts_with(".wh.")) return;
  const std::string path = entry.path.empty() ? "" : "/" + entry.path;
  if (auto owner = tar.owner(entry))
    add_owner(layer.owners, *owner, path);
  else
    layer.owners.note((path.empty() ? "/" : path) + ": the archive gives it to " +
                      std::to_string(entry.uid) + ":" + std::to_string(entry.gid) +
                      ", which are not ids");
  for (std::size_t i = 0; i < kAccountPaths.size(); ++i) {
    if (entry.path != kAccountPaths[i]) continue;
    FoundIds& found = layer.accounts[i].emplace();
    if (!entry.regular) {
      found.note(path + ": is not a regular file in the archive, and was not followed");
      continue;
    }
    AccountReader reader(static_cast<AccountFile>(i), found);
    std::array<char, 16384> buffer;
    for (ssize_t got = tar.read(buffer); got > 0; got = tar.read(buffer))
      if (!reader.feed({buffer.data(), static_cast<std::size_t>(got)})) break;
    reader.finish();
  }
}

base::Checked<LayerIds> read_tar_layer(Tar& tar, Meter& meter) {
  LayerIds layer;
  for (;;) {
    TRY(entry, tar.next());
    if (!entry) break;
    take_entry(tar, *entry, layer);
  }
  if (meter.stopped()) {
    layer.owners.note(meter.why());
    layer.complete = false;
  }
  return layer;
}

}  // namespace images
