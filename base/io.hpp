// Owns: whole texts from and to a descriptor; the sentence of a system call that has failed.
// Called by: everyone who reads or writes small files, outside the reactor. Never: waits for more
// than the file itself does; keeps more than it may.
#pragma once
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace base {

/// "what: No such file or directory", by the errno that the system call just made has left.
tl::unexpected<Failure> refuse_errno(const std::string& what);

/// All there is until the end. EFBIG: that is more than `most` bytes.
Result<std::string> read_all(int fd, std::size_t most);

/// All of it, in as many pieces as the kernel takes it. After a failure, errno is the error's.
Result<Unit> write_all(int fd, std::string_view text);

}  // namespace base
