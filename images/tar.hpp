// Owns: one tar archive being read, compressed or not. Called by: images/archive, images/layout.
// Never: unpacks anything, holds more than a few megabytes of it, or goes on after the meter said
// stop.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.hpp"
#include "images/archive_library.hpp"
#include "images/layer.hpp"
#include "images/meter.hpp"
#include "images/owner.hpp"

namespace images {

/// Bytes to fill the span with; 0 at the end, negative on an error.
using ByteSource = std::function<ssize_t(std::span<char>)>;

class Tar {
 public:
  struct Entry {
    std::string path;  // from the root, without a slash at either end: "etc/passwd"
    std::uint64_t size = 0;
    bool regular = false;
    bool link = false;  // a hard link: no object of its own
    std::int64_t uid = 0, gid = 0;
  };

  /// `name`: for messages. `seek_fd`: where the bytes come from, if that can skip; else -1.
  static base::Checked<std::unique_ptr<Tar>> open(std::string name, ByteSource source, int seek_fd,
                                                  Meter& meter);
  /// The same for a file.
  static base::Checked<std::unique_ptr<Tar>> open_file(std::string name, int fd, Meter& meter);
  ~Tar();
  Tar(const Tar&) = delete;
  Tar& operator=(const Tar&) = delete;

  /// The next entry, nothing at the end or when the meter says stop.
  base::Checked<std::optional<Entry>> next();
  /// Content of the current entry: bytes, 0 at its end, negative on an error.
  ssize_t read(std::span<char> buffer);
  /// The whole content, if it has at most `limit` bytes.
  std::optional<std::string> read_all(std::size_t limit);
  /// Owner of the current entry: records among its attributes, else the plain one. Nothing if that
  /// is no id.
  std::optional<Owner> owner(const Entry& entry) const;

 private:
  Tar(const ArchiveLibrary& calls, std::string name, ByteSource source, int seek_fd, Meter& meter);
  base::Checked<base::Unit> begin();
  bool spend();
  void pass_over_content();
  tl::unexpected<base::Failure> trouble(const std::string& when) const;
  static la_ssize_t on_read(::archive* archive, void* self, const void** buffer);
  static la_int64_t on_skip(::archive* archive, void* self, la_int64_t request);

  const ArchiveLibrary& calls_;
  const std::string name_;
  const ByteSource source_;
  const int seek_fd_;
  Meter& meter_;
  ::archive* archive_;
  ::archive_entry* entry_ = nullptr;
  std::unique_ptr<char[]> buffer_;
  std::uint64_t entries_ = 0;
  bool compressed_ = false;
};

/// Takes the current entry as a part of a layer.
void take_entry(Tar& tar, const Tar::Entry& entry, LayerIds& layer);
/// All entries as a layer.
base::Checked<LayerIds> read_tar_layer(Tar& tar, Meter& meter);

}  // namespace images
