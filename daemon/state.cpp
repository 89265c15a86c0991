#include "daemon/state.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/io.hpp"

namespace serving {
namespace {

constexpr char kMagic[8] = {'u', 'n', 'i', 's', 't', 'a', 't', 'e'};
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kMost = 256 * 1024 * 1024;  // bytes of lines that we believe
constexpr std::uint64_t kSmall = 64 * 1024;

std::uint64_t page_of(std::uint64_t span) {
  return span >> 32;
}
std::uint64_t length_of(std::uint64_t span) {
  return span & 0xffffffff;
}

tl::unexpected<base::Failure> refuse_errno(const std::string& what) {
  return base::refuse_errno("the daemon's state: " + what);
}

}  // namespace

State::~State() {
  if (head_) ::munmap(head_, kPage);
}

base::Checked<base::Unit> State::map() {
  void* memory = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
  if (memory == MAP_FAILED) return refuse_errno("mmap");
  head_ = static_cast<Head*>(memory);
  return base::Unit{};
}

base::Checked<std::unique_ptr<State>> State::create() {
  base::Fd memory(::memfd_create("usernetes-identity state", MFD_CLOEXEC));
  if (!memory.valid() || ::ftruncate(memory.get(), kPage) != 0) return refuse_errno("memfd");
  std::unique_ptr<State> state(new State(std::move(memory)));
  TRY_VOID(state->map());
  state->head_->version = kVersion;
  state->head_->span = std::uint64_t{1} << 32;
  std::memcpy(state->head_->magic, kMagic, sizeof kMagic);
  return state;
}

base::Checked<std::unique_ptr<State>> State::adopt(base::Fd memory) {
  struct stat st;
  if (::fstat(memory.get(), &st) != 0) return refuse_errno("fstat");
  if (!S_ISREG(st.st_mode) || st.st_size < static_cast<off_t>(kPage))
    return base::refuse("the daemon's state: not what a daemon has left");
  std::unique_ptr<State> state(new State(std::move(memory)));
  TRY_VOID(state->map());
  if (std::memcmp(state->head_->magic, kMagic, sizeof kMagic) != 0)
    return base::refuse("the daemon's state: not what a daemon has left");
  if (state->head_->version != kVersion)
    return base::refuse("the daemon's state: of version " + std::to_string(state->head_->version) +
                        ", this build knows " + std::to_string(kVersion));
  TRY_VOID(state->read());
  return state;
}

base::Checked<base::Unit> State::read() {
  std::uint64_t span = head_->span;
  if (page_of(span) == 0 || length_of(span) > kMost)
    return base::refuse("the daemon's state: its length makes no sense");
  std::string text(length_of(span), '\0');
  ssize_t got =
      ::pread(memory_.get(), text.data(), text.size(), static_cast<off_t>(page_of(span) * kPage));
  if (got != static_cast<ssize_t>(text.size())) return refuse_errno("read");
  std::size_t at = 0;
  for (std::size_t end; (end = text.find('\n', at)) != text.npos; at = end + 1) {
    Json line = Json::parse(text.begin() + static_cast<std::ptrdiff_t>(at),
                            text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    auto id = line.is_object() ? number_of(line, "id") : std::nullopt;
    if (!id) continue;
    if (line.contains("arguments"))
      mounts_[*id] = std::move(line);
    else
      mounts_.erase(*id);
  }
  return base::Unit{};
}

void State::append(const std::string& line) {
  std::uint64_t span = head_->span;
  auto end = static_cast<off_t>(page_of(span) * kPage + length_of(span));
  if (::pwrite(memory_.get(), line.data(), line.size(), end) != static_cast<ssize_t>(line.size()))
    return;  // no memory: the mount is then not known to a successor
  head_->span = span + line.size();
}

void State::add(std::uint64_t id, Json mount) {
  mount["id"] = id;
  if (head_->last_id < id) head_->last_id = id;
  append(request_line(mount));
  mounts_[id] = std::move(mount);
}

void State::remove(std::uint64_t id) {
  if (mounts_.erase(id) == 0) return;
  append(request_line({{"id", id}}));
  compact();
}

// What is left is written behind what was there, and counts from one store on.
void State::compact() {
  std::uint64_t span = head_->span, used = 0;
  if (length_of(span) < kSmall) return;
  std::string text;
  for (const auto& [id, mount] : mounts_) text += request_line(mount);
  used = text.size();
  if (used > length_of(span) / 2) return;
  std::uint64_t page = page_of(span) + length_of(span) / kPage + 1;
  if (::pwrite(memory_.get(), text.data(), used, static_cast<off_t>(page * kPage)) !=
      static_cast<ssize_t>(used))
    return;
  head_->span = page << 32 | used;
  ::fallocate(memory_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
              static_cast<off_t>(page_of(span) * kPage),
              static_cast<off_t>((page - page_of(span)) * kPage));
}

}  // namespace serving
