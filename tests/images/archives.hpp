// Owns: making archives, honest ones by libarchive and others byte by byte. Called by:
// tests/images. Never: needs a file to pack.
#pragma once
#include <archive.h>
#include <archive_entry.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace archives {

struct Item {
  std::string path;
  std::string content;
  std::int64_t owner = 0;
  unsigned type = AE_IFREG;
  std::vector<std::pair<std::string, std::string>> attributes;
};

/// `filter`: ARCHIVE_FILTER_NONE, _GZIP, _ZSTD, _XZ, _BZIP2.
inline std::string pack(const std::vector<Item>& items, int filter = ARCHIVE_FILTER_NONE) {
  std::string out;
  archive* writer = archive_write_new();
  archive_write_set_format_pax(writer);
  archive_write_add_filter(writer, filter);
  archive_write_set_bytes_in_last_block(writer, 1);
  archive_write_open(
      writer, &out, nullptr,
      [](archive*, void* to, const void* bytes, std::size_t size) -> la_ssize_t {
        static_cast<std::string*>(to)->append(static_cast<const char*>(bytes), size);
        return static_cast<la_ssize_t>(size);
      },
      nullptr);
  for (const Item& item : items) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, item.path.c_str());
    archive_entry_set_filetype(entry, item.type);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_uid(entry, item.owner);
    archive_entry_set_gid(entry, item.owner);
    archive_entry_set_size(
        entry, item.type == AE_IFREG ? static_cast<la_int64_t>(item.content.size()) : 0);
    if (item.type == AE_IFLNK) archive_entry_set_symlink(entry, item.content.c_str());
    for (const auto& [key, value] : item.attributes)
      archive_entry_xattr_add_entry(entry, key.c_str(), value.data(), value.size());
    archive_write_header(writer, entry);
    if (item.type == AE_IFREG) archive_write_data(writer, item.content.data(), item.content.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
  return out;
}

/// One header block as POSIX has it, of whatever is claimed. `size`: twelve bytes, octal digits.
inline std::string header(const std::string& name, char type, const std::string& size,
                          const std::string& uid = "0000000") {
  std::string block(512, '\0');
  auto put = [&](std::size_t at, const std::string& text) { block.replace(at, text.size(), text); };
  put(0, name.substr(0, 100));
  put(100, "0000644");
  put(108, uid.substr(0, 8));
  put(116, "0000000");
  put(124, size.substr(0, 12));
  put(136, "00000000000");
  put(148, "        ");
  block[156] = type;
  put(257, std::string("ustar\00000", 8));
  unsigned sum = 0;
  for (unsigned char c : block) sum += c;
  char digits[8];
  std::snprintf(digits, sizeof digits, "%06o", sum);
  put(148, digits);
  return block;
}

inline std::string padded(std::string content) {
  content.resize((content.size() + 511) / 512 * 512, '\0');
  return content;
}

}  // namespace archives
