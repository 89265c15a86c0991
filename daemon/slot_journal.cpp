#include "daemon/slot_journal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/hash.hpp"
#include "daemon/runtime_dir.hpp"

namespace serving {
namespace {

constexpr off_t kJournalLimit = 1024 * 1024;  // far more than any window has slots
constexpr int kTries = 20, kPatientTries = 4000;
constexpr useconds_t kLockPause = 500;  // microseconds

// Each line stands for a slot that was given away.
std::size_t count_lines(int file) {
  std::size_t count = 0;
  char bytes[4096];
  ssize_t got = 0;
  for (off_t at = 0; at < kJournalLimit; at += got) {
    got = ::pread(file, bytes, sizeof bytes, at);
    if (got <= 0) break;
    count += static_cast<std::size_t>(std::count(bytes, bytes + got, '\n'));
  }
  return count;
}

// A container without a mount of ours (its image elsewhere, or `run`) may still have ids of a
// window that was half full when the last user left. It keeps them in its processes; a later one
// may be given the same slots, as after a reboot of our directory.
bool begin_anew(int file, std::size_t slots) {
  return count_lines(file) * 2 < slots || ::ftruncate(file, 0) == 0;
}

}  // namespace

std::unique_ptr<SlotJournal> SlotJournal::open(const std::string& kind, const std::string& pool,
                                               std::size_t slots, SlotUse use) {
  auto dir = open_runtime_dir();
  if (!dir) return nullptr;
  std::string name = "slots-" + kind + "-" + base::fnv64_hex(pool);
  constexpr int kFlags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
  base::Fd file(::openat(dir->get(), name.c_str(), kFlags | O_APPEND, 0600));
  std::string users_name = name + ".users";
  base::Fd users(::openat(dir->get(), users_name.c_str(), kFlags, 0600));
  if (!file.valid() || !users.valid()) return nullptr;
  if (use != SlotUse::look && ::flock(users.get(), LOCK_EX | LOCK_NB) == 0 &&
      !begin_anew(file.get(), slots))
    return nullptr;
  if (::flock(users.get(), LOCK_SH) != 0) return nullptr;
  if (on_open) on_open(name, users.get());
  std::unique_ptr<SlotJournal> journal(new SlotJournal(std::move(file), std::move(users)));
  journal->patient_ = use != SlotUse::serve;
  return journal;
}

void SlotJournal::begin(identity::LiveSlots& slots) {
  int tries = patient_ ? kPatientTries : kTries;
  for (int i = 0; i < tries && !locked_; ++i) {
    locked_ = ::flock(file_.get(), LOCK_EX | LOCK_NB) == 0;
    if (!locked_) ::usleep(kLockPause);  // its holder is in the same few calls as we are
  }
  std::string text(4096, '\0');
  while (read_to_ < kJournalLimit) {
    ssize_t got = ::pread(file_.get(), text.data(), text.size(), read_to_);
    if (got <= 0) return;
    std::size_t begin = 0, end;
    std::string_view lines(text.data(), static_cast<std::size_t>(got));
    while ((end = lines.find('\n', begin)) != lines.npos) {
      unsigned true_id = 0, slot = 0;
      std::string line(lines.substr(begin, end - begin));
      if (std::sscanf(line.c_str(), "%10u %10u", &true_id, &slot) == 2)
        (void)slots.restore(true_id, slot);
      begin = end + 1;
    }
    if (begin == 0) return;  // half a line: its writer died
    read_to_ += static_cast<off_t>(begin);
  }
}

void SlotJournal::end(identity::Id true_id, identity::Id slot) {
  if (true_id != identity::kNoId && locked_) {
    std::string line = std::to_string(true_id) + " " + std::to_string(slot) + "\n";
    (void)!::write(file_.get(), line.data(), line.size());
  }
  if (locked_) ::flock(file_.get(), LOCK_UN);
  locked_ = false;
}

}  // namespace serving
