#include "daemon/notice_ledger.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>

#include "base/io.hpp"
#include "daemon/protocol.hpp"
#include "seccomp/listener.hpp"
#include "seccomp/state_message.hpp"

namespace serving {
namespace {

constexpr char kMagic[8] = {'u', 'n', 'i', 'l', 'i', 's', 't', 'n'};
constexpr std::uint32_t kVersion = 2;
constexpr std::size_t kNotices = 256, kInjections = 64;
constexpr std::size_t kProbes = 16;                            // places in which an entry may stand
constexpr std::size_t kReceiving = 64;                         // words; a notification has 10
constexpr std::size_t kInfoRoom = 4096, kMapRoom = 16 * 1024;  // a map of 340 lines has 11 kB

template <class T>
struct Entry {
  std::atomic<std::uint64_t> used;  // 0: free
  T value;
};
static_assert(std::is_trivially_copyable_v<seccomp::Notice>);
static_assert(std::is_trivially_copyable_v<seccomp::Injected>);

// Both are given by the kernel one after the other, so the lowest bits spread them.
template <class T, std::size_t N>
void put(Entry<T> (&table)[N], std::uint64_t key, const T& value) {
  for (std::size_t i = 0; i < kProbes; ++i) {
    Entry<T>& entry = table[(key + i) % N];
    if (entry.used.load(std::memory_order_relaxed)) continue;
    entry.value = value;
    entry.used.store(1, std::memory_order_release);
    return;
  }
}

template <class T, std::size_t N, class Is>
void drop(Entry<T> (&table)[N], std::uint64_t key, Is&& is) {
  for (std::size_t i = 0; i < kProbes; ++i) {
    Entry<T>& entry = table[(key + i) % N];
    if (entry.used.load(std::memory_order_relaxed) && is(entry.value))
      entry.used.store(0, std::memory_order_release);
  }
}

std::string_view text_in(const char* room, std::size_t most, std::uint32_t length) {
  return {room, std::min<std::size_t>(length, most)};
}

}  // namespace

struct NoticeLedger::Pages {
  char magic[8];
  std::uint32_t version;
  std::uint32_t info_length;
  std::atomic<std::uint64_t> newest;          // id of the last notification that was received
  std::atomic<std::uint64_t> user_namespace;  // 0: not known yet; then the maps count
  std::uint32_t uid_map_length, gid_map_length;
  std::uint64_t receiving[kReceiving];  // written by the kernel
  Entry<seccomp::Notice> notices[kNotices];
  Entry<seccomp::Injected> injections[kInjections];
  char info[kInfoRoom];
  char uid_map[kMapRoom];
  char gid_map[kMapRoom];
};

NoticeLedger::~NoticeLedger() {
  if (pages_) ::munmap(pages_, sizeof(Pages));
}

base::Checked<base::Unit> NoticeLedger::map() {
  void* memory =
      ::mmap(nullptr, sizeof(Pages), PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
  if (memory == MAP_FAILED) return base::refuse_errno("a listener's ledger: mmap");
  pages_ = static_cast<Pages*>(memory);
  return base::Unit{};
}

base::Checked<std::unique_ptr<NoticeLedger>> NoticeLedger::create(
    const seccomp::ContainerInfo& info) {
  base::Fd memory(::memfd_create("usernetes-identity listener", MFD_CLOEXEC));
  if (!memory.valid() || ::ftruncate(memory.get(), sizeof(Pages)) != 0)
    return base::refuse_errno("a listener's ledger: memfd");
  std::unique_ptr<NoticeLedger> ledger(new NoticeLedger(std::move(memory)));
  TRY_VOID(ledger->map());
  Json text = Json::parse(seccomp::metadata_text(info), nullptr, false);
  text["pid"] = info.pid;
  std::string line = text.dump();
  if (line.size() > kInfoRoom) return base::refuse("a container's name is too long");
  Pages& pages = *ledger->pages_;
  std::memcpy(pages.info, line.data(), line.size());
  pages.info_length = static_cast<std::uint32_t>(line.size());
  pages.version = kVersion;
  std::memcpy(pages.magic, kMagic, sizeof kMagic);
  return ledger;
}

base::Checked<std::unique_ptr<NoticeLedger>> NoticeLedger::adopt(base::Fd memory) {
  struct stat st;
  if (::fstat(memory.get(), &st) != 0 || !S_ISREG(st.st_mode) ||
      st.st_size != static_cast<off_t>(sizeof(Pages)))
    return base::refuse("a listener's ledger: not what a daemon of this version has left");
  std::unique_ptr<NoticeLedger> ledger(new NoticeLedger(std::move(memory)));
  TRY_VOID(ledger->map());
  if (std::memcmp(ledger->pages_->magic, kMagic, sizeof kMagic) != 0 ||
      ledger->pages_->version != kVersion)
    return base::refuse("a listener's ledger: of another version");
  return ledger;
}

base::Checked<seccomp::ContainerInfo> NoticeLedger::info() const {
  std::string_view text = text_in(pages_->info, kInfoRoom, pages_->info_length);
  Json json = Json::parse(text, nullptr, false);
  auto mode = json.is_object() ? seccomp::mode_named(text_of(json, "mode")) : std::nullopt;
  auto profile = json.is_object() ? seccomp::profile_named(text_of(json, "profile")) : std::nullopt;
  if (!mode || !profile) return base::refuse("a listener's ledger: no container in it");
  seccomp::ContainerInfo info{.id = text_of(json, "id"), .mode = *mode, .profile = *profile};
  info.killable = flag_of(json, "killable");
  info.pid = static_cast<pid_t>(number_of(json, "pid").value_or(0));
  return info;
}

seccomp::Unfinished NoticeLedger::unfinished() const {
  seccomp::Unfinished left;
  left.newest = pages_->newest.load();
  for (const auto& entry : pages_->notices)
    if (entry.used.load(std::memory_order_acquire)) left.notices.push_back(entry.value);
  if (auto last = seccomp::read_notice(pages_->receiving)) {
    bool known = std::any_of(left.notices.begin(), left.notices.end(),
                             [&](const auto& notice) { return notice.id == last->id; });
    if (!known) left.notices.push_back(*last);
    left.newest = last->id;
  }
  for (const auto& entry : pages_->injections)
    if (entry.used.load(std::memory_order_acquire)) left.injections.push_back(entry.value);
  if (std::uint64_t inode = pages_->user_namespace.load(std::memory_order_acquire); inode != 0) {
    left.origin = seccomp::Origin{
        .user_namespace = inode,
        .uid_map = std::string(text_in(pages_->uid_map, kMapRoom, pages_->uid_map_length)),
        .gid_map = std::string(text_in(pages_->gid_map, kMapRoom, pages_->gid_map_length))};
  }
  return left;
}

void NoticeLedger::origin(const seccomp::Origin& origin) {
  if (origin.uid_map.size() > kMapRoom || origin.gid_map.size() > kMapRoom) return;
  std::memcpy(pages_->uid_map, origin.uid_map.data(), origin.uid_map.size());
  std::memcpy(pages_->gid_map, origin.gid_map.data(), origin.gid_map.size());
  pages_->uid_map_length = static_cast<std::uint32_t>(origin.uid_map.size());
  pages_->gid_map_length = static_cast<std::uint32_t>(origin.gid_map.size());
  pages_->user_namespace.store(origin.user_namespace, std::memory_order_release);
}

std::span<std::uint64_t> NoticeLedger::receiving() {
  return pages_->receiving;
}

void NoticeLedger::begin(const seccomp::Notice& notice) {
  put(pages_->notices, notice.id, notice);
  pages_->newest.store(notice.id, std::memory_order_release);
}

void NoticeLedger::end(std::uint64_t id) {
  drop(pages_->notices, id, [id](const seccomp::Notice& notice) { return notice.id == id; });
}

void NoticeLedger::begin(const seccomp::Injected& injected) {
  auto key = static_cast<std::uint64_t>(injected.tid);
  put(pages_->injections, key, injected);
}

void NoticeLedger::end_injection(pid_t tid) {
  drop(pages_->injections, static_cast<std::uint64_t>(tid),
       [tid](const seccomp::Injected& injected) { return injected.tid == tid; });
}

}  // namespace serving
