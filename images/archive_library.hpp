// Owns: libarchive, opened when the first archive is read: a mount or a container's start must not
// pay for it. Called by: images/tar. Never: needs it for anything but archives.
#pragma once
#include <archive.h>
#include <archive_entry.h>

#include "base/result.hpp"

// The calls that we make, once: as members of the table and as what is looked up.
#define UNI_ARCHIVE_CALLS(X)           \
  X(archive_read_new)                  \
  X(archive_read_free)                 \
  X(archive_read_support_filter_gzip)  \
  X(archive_read_support_filter_zstd)  \
  X(archive_read_support_filter_xz)    \
  X(archive_read_support_filter_bzip2) \
  X(archive_read_support_format_tar)   \
  X(archive_read_support_format_empty) \
  X(archive_read_set_options)          \
  X(archive_read_set_read_callback)    \
  X(archive_read_set_seek_callback)    \
  X(archive_read_set_skip_callback)    \
  X(archive_read_set_callback_data)    \
  X(archive_read_open1)                \
  X(archive_read_next_header)          \
  X(archive_read_data_block)           \
  X(archive_read_data)                 \
  X(archive_error_string)              \
  X(archive_set_error)                 \
  X(archive_filter_count)              \
  X(archive_filter_bytes)              \
  X(archive_entry_pathname)            \
  X(archive_entry_pathname_utf8)       \
  X(archive_entry_hardlink)            \
  X(archive_entry_filetype)            \
  X(archive_entry_uid)                 \
  X(archive_entry_gid)                 \
  X(archive_entry_size)                \
  X(archive_entry_xattr_reset)         \
  X(archive_entry_xattr_next)

namespace images {

struct ArchiveLibrary {
#define UNI_MEMBER(name) decltype(&::name) name = nullptr;
  UNI_ARCHIVE_CALLS(UNI_MEMBER)
#undef UNI_MEMBER
};

/// The library, or a sentence that names the package to install.
base::Checked<const ArchiveLibrary*> archive_library();

}  // namespace images
