// Owns: nothing; it opens and reads small files that somebody else wrote. Called by: the readers of
// images/. Never: opens a fifo or a device, follows a link out of the root it was given, or reads
// more than it was told.
#pragma once
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace images {

/// `path` as a process with that root directory would find it; EMEDIUMTYPE unless it is a regular
/// file.
base::Result<base::Fd> open_in_root(int root_fd, const std::string& path);
/// The same without a root, by a path that a user typed.
base::Result<base::Fd> open_regular(const std::string& path);

/// All of it; `where` begins the message when it can not be read or has more than `limit` bytes.
base::Checked<std::string> read_text(int fd, std::size_t limit, const std::string& where);
/// Both in one. A missing file is a failure as well.
base::Checked<std::string> read_text_in(int root_fd, const std::string& path, std::size_t limit,
                                        const std::string& where);

/// What errno means, EMEDIUMTYPE as "is not a regular file".
std::string reason(base::Errno error);
/// Whether somebody serves what is seen there: owners are then what he shows.
bool is_fuse(int fd);

}  // namespace images
