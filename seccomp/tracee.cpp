#include "seccomp/tracee.hpp"

#include <fcntl.h>
#include <linux/limits.h>
#include <linux/types.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <list>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "ring/chain.hpp"
#include "seccomp/remote_file.hpp"

namespace seccomp {
namespace {

constexpr std::size_t kMostKnown = 1024;
constexpr std::size_t kPage = 4096;               // no architecture of ours has smaller ones
constexpr std::size_t kMostStatus = 1024 * 1024;  // 65,536 groups of 11 bytes are less

// A container's memory and paths may lie in a file system of its own, which never answers; the
// kernel's workers are for all. Writes to regular files are so many queues in the kernel, 64, which
// all files share: hence fewer.
constexpr unsigned kMostReadings = 32, kMostOpenings = 32, kMostWritings = 4;

// struct pidfd_info of Linux 6.13, as far as its first version goes.
struct PidfdInfo {
  std::uint64_t mask;
  std::uint64_t cgroup;
  std::uint32_t pid, tgid, ppid;
  std::uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  std::uint32_t spare;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr unsigned long kGetInfo = _IOWR(0xFF, 11, PidfdInfo);
constexpr std::uint64_t kInfoCredentials = 3;  // PIDFD_INFO_PID | PIDFD_INFO_CREDS
constexpr unsigned kPidfdThread = O_EXCL;      // Linux 6.9

std::optional<PidfdInfo> info_of(const base::Fd& pidfd) {
  PidfdInfo info{};
  info.mask = kInfoCredentials;
  if (::ioctl(pidfd.get(), kGetInfo, &info) != 0) return std::nullopt;
  return info;
}

// Asked of ourselves: of others it may fail because they die.
bool has_pidfd_info() {
  base::Fd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), kPidfdThread)));
  return self.valid() && info_of(self);
}

std::string proc_path(pid_t tid, const char* name) {
  return "/proc/" + std::to_string(tid) + "/" + name;
}

// The words behind "NAME:" in the text of a status file.
std::string_view line_of(std::string_view status, std::string_view name) {
  std::size_t at = status.starts_with(name) ? 0 : status.find("\n" + std::string(name));
  if (at == status.npos) return {};
  at = status.find(':', at) + 1;
  return status.substr(at, status.find('\n', at) - at);
}

std::vector<identity::Id> numbers(std::string_view words) {
  std::vector<identity::Id> found;
  for (const char* at = words.data(); at < words.data() + words.size();) {
    identity::Id id = 0;
    auto [end, error] = std::from_chars(at, words.data() + words.size(), id);
    if (error == std::errc()) found.push_back(id);
    at = end == at ? at + 1 : end;
  }
  return found;
}

// Before Linux 6.13; read by the reactor itself.
std::optional<std::string> status_now(pid_t tid) {
  base::Fd file(::open(proc_path(tid, "status").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return std::nullopt;
  std::string text(8192, '\0');  // the lines that are wanted come before the groups
  ssize_t size = ::read(file.get(), text.data(), text.size());
  if (size <= 0) return std::nullopt;
  text.resize(static_cast<std::size_t>(size));
  return text;
}

std::optional<PidfdInfo> info_by_status(pid_t tid) {
  auto status = status_now(tid);
  if (!status) return std::nullopt;
  auto uids = numbers(line_of(*status, "Uid:")), gids = numbers(line_of(*status, "Gid:"));
  auto process = numbers(line_of(*status, "Tgid:"));
  if (uids.size() != 4 || gids.size() != 4 || process.size() != 1) return std::nullopt;
  PidfdInfo info{};
  info.tgid = process[0];
  info.ruid = uids[0], info.euid = uids[1], info.suid = uids[2], info.fsuid = uids[3];
  info.rgid = gids[0], info.egid = gids[1], info.sgid = gids[2], info.fsgid = gids[3];
  return info;
}

}  // namespace

struct Tracees::Known {
  pid_t tid = 0;
  base::Fd pidfd;
  std::optional<std::uint64_t> user_namespace;
  bool moved = false;
};

struct Tracees::State {
  explicit State(ring::Reactor& r)
      : reactor(r),
        openings(r, kMostOpenings),
        readings(r, kMostReadings),
        writings(r, kMostWritings) {}
  ring::Reactor& reactor;
  Turns openings, readings, writings;
  std::list<Known> recent;  // newest use first
  std::unordered_map<pid_t, std::list<Known>::iterator> by_tid;
  // A look at the thread whose call has just come, for the one who answers it.
  pid_t seen_tid = 0;
  PidfdInfo seen{};
  const bool by_pidfd = has_pidfd_info();

  Known* find(pid_t tid) {
    auto found = by_tid.find(tid);
    if (found == by_tid.end()) return nullptr;
    recent.splice(recent.begin(), recent, found->second);
    return &recent.front();
  }
  void drop(pid_t tid) {
    auto found = by_tid.find(tid);
    if (found == by_tid.end()) return;
    recent.erase(found->second);
    by_tid.erase(found);
  }
  Known* open(pid_t tid) {
    base::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, tid, kPidfdThread)));
    if (!pidfd.valid()) return nullptr;
    if (recent.size() >= kMostKnown) drop(recent.back().tid);
    recent.push_front(Known{tid, std::move(pidfd), std::nullopt, false});
    by_tid[tid] = recent.begin();
    return &recent.front();
  }
  // The thread as it is now; `known` is what is cached of it, and of no other that had its number.
  std::optional<PidfdInfo> look(pid_t tid, Known** known = nullptr) {
    if (tid <= 0) return std::nullopt;
    if (!by_pidfd) return info_by_status(tid);
    Known* one = find(tid);
    auto info = one ? info_of(one->pidfd) : std::nullopt;
    if (!info) {  // not known, or another thread had this number
      drop(tid);
      one = open(tid);
      info = one ? info_of(one->pidfd) : std::nullopt;
    }
    if (!info) drop(tid);
    if (known && info) *known = one;
    return info;
  }
  std::optional<std::uint64_t> namespace_of(pid_t tid, PidfdInfo& info) {
    Known* known = nullptr;
    auto found = look(tid, &known);
    if (!found) return std::nullopt;
    info = *found;
    if (known && known->user_namespace && !known->moved) return known->user_namespace;
    struct stat file;
    if (::stat(proc_path(tid, "ns/user").c_str(), &file) != 0) return std::nullopt;
    if (known) known->user_namespace = file.st_ino;
    return file.st_ino;
  }
};

Tracees::Tracees(ring::Reactor& reactor) : state_(std::make_unique<State>(reactor)) {}
Tracees::~Tracees() = default;

ring::Reactor& Tracees::reactor_of() const {
  return state_->reactor;
}

std::optional<Credentials> Tracees::credentials(pid_t tid) {
  const bool seen = tid != 0 && std::exchange(state_->seen_tid, 0) == tid;
  auto info = seen ? std::optional(state_->seen) : state_->look(tid);
  if (!info) return std::nullopt;
  return Credentials{{info->ruid, info->euid, info->suid, info->fsuid},
                     {info->rgid, info->egid, info->sgid, info->fsgid}};
}

std::optional<pid_t> Tracees::process(pid_t tid) {
  auto info = state_->look(tid);
  if (!info) return std::nullopt;
  return static_cast<pid_t>(info->tgid);
}

std::optional<std::uint64_t> Tracees::user_namespace(pid_t tid) {
  PidfdInfo info{};
  auto found = state_->namespace_of(tid, info);
  if (found) state_->seen_tid = tid, state_->seen = info;
  return found;
}

void Tracees::moved(pid_t tid) {
  Known* known = nullptr;
  if (state_->look(tid, &known) && known) known->moved = true;
}

void Tracees::changes(pid_t tid) {
  if (state_->seen_tid == tid) state_->seen_tid = 0;
}

ring::Task<std::optional<std::vector<identity::Id>>> Tracees::groups(pid_t tid) {
  std::string path = proc_path(tid, "status");
  auto text = co_await read_whole(state_->reactor, path, kMostStatus);
  if (!text) co_return std::nullopt;
  if (line_of(*text, "Tgid:").empty()) co_return std::nullopt;
  co_return numbers(line_of(*text, "Groups:"));
}

ring::Task<std::string> Tracees::status_word(pid_t tid, std::string name) {
  std::string path = proc_path(tid, "status");
  auto text = co_await read_whole(state_->reactor, path, kMostStatus);
  if (!text) co_return "";
  std::string_view line = line_of(*text, name);
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  co_return std::string(line.substr(0, line.find_first_of(" \t")));
}

// The namespace as it was last seen will do: who shares is all that it is asked for.
ring::Task<bool> Tracees::turn(Kind kind, pid_t tid, Turns::Turn& turn) {
  PidfdInfo info;
  const Known* known = state_->find(tid);
  auto container = known ? known->user_namespace : std::nullopt;
  if (!container) container = state_->namespace_of(tid, info);
  if (!container) co_return false;
  Turns& turns = kind == Kind::read    ? state_->readings
                 : kind == Kind::write ? state_->writings
                                       : state_->openings;
  const bool mine = co_await turns.wait(*container, tid, turn);
  co_return mine;
}

static ring::Task<base::Result<base::Fd>> open_memory(ring::Reactor& reactor, pid_t tid,
                                                      std::uint64_t flags) {
  std::string path = proc_path(tid, "mem");
  auto memory = co_await open_file(reactor, AT_FDCWD, path, flags);
  if (!memory) co_return tl::make_unexpected(of_memory(memory.error()));
  co_return std::move(*memory);
}

ring::Task<base::Result<>> Tracees::read(pid_t tid, std::uint64_t address,
                                         std::span<std::byte> bytes) {
  Turns::Turn its;
  const bool mine = co_await turn(Kind::read, tid, its);
  if (!mine) co_return base::fail(ESRCH);
  CO_TRY(memory, co_await open_memory(state_->reactor, tid, O_RDONLY));
  auto done = co_await read_memory(state_->reactor, memory.get(), address, bytes);
  co_return done;
}

ring::Task<base::Result<>> Tracees::write(pid_t tid, std::uint64_t address,
                                          std::span<const std::byte> bytes, Still still) {
  Turns::Turn its;
  const bool mine = co_await turn(Kind::write, tid, its);
  if (!mine) co_return base::fail(ESRCH);
  CO_TRY(memory, co_await open_memory(state_->reactor, tid, O_RDWR));
  if (still && !still()) co_return base::fail(ESRCH);
  auto done = co_await write_memory(state_->reactor, memory.get(), address, bytes);
  co_return done;
}

ring::Task<base::Result<>> Tracees::write_each(pid_t tid, std::vector<Piece> pieces, Still still) {
  Turns::Turn its;
  const bool mine = co_await turn(Kind::write, tid, its);
  if (!mine) co_return base::fail(ESRCH);
  CO_TRY(memory, co_await open_memory(state_->reactor, tid, O_RDWR));
  if (still && !still()) co_return base::fail(ESRCH);
  const ring::FileSlot slot(state_->reactor);  // who has them has chains
  if (slot.valid() && std::all_of(pieces.begin(), pieces.end(),
                                  [](const Piece& one) { return one.address < kHighestAddress; })) {
    ring::Chain chain(state_->reactor);
    unsigned last = 0;
    for (const Piece& one : pieces) {
      ring::Op op = transferring(IORING_OP_WRITE, one.address, one.bytes);
      op.fd = memory.get();
      last = chain.add(op);
    }
    co_await chain.wait();
    if (chain.result(last) == static_cast<int>(pieces.back().bytes.size())) co_return base::Unit{};
  }
  for (const Piece& one : pieces) {  // says what is wrong, and how often to try
    auto done = co_await write_memory(state_->reactor, memory.get(), one.address, one.bytes);
    if (!done) co_return done;
  }
  co_return base::Unit{};
}

ring::Task<base::Result<>> Tracees::change(pid_t tid, std::uint64_t address,
                                           std::span<std::byte> bytes, std::function<bool()> work,
                                           Still still) {
  const int size = static_cast<int>(bytes.size());
  bool has_read = false;
  {
    Turns::Turn reads, writes;
    const bool may_read = co_await turn(Kind::read, tid, reads);
    if (!may_read) co_return base::fail(ESRCH);
    ring::FileSlot memory(state_->reactor);
    const std::string path = proc_path(tid, "mem");
    open_how how{};
    how.flags = O_RDWR;
    ring::Chain chain(state_->reactor);
    if (memory.valid() && address < kHighestAddress) {
      ring::Op open = opening(AT_FDCWD, path, how);
      ring::Op read = transferring(IORING_OP_READ, address, bytes);
      memory.receive(open);
      memory.use(read);
      chain.add(open);
      const unsigned reading = chain.add(read);
      co_await chain.wait();
      has_read = chain.result(reading) == size;
    }
    if (has_read && !work()) co_return base::Unit{};
    if (has_read) {
      const bool may_write = co_await turn(Kind::write, tid, writes);
      if (!may_write || (still && !still())) co_return base::fail(ESRCH);
      ring::Op write = transferring(IORING_OP_WRITE, address, bytes);
      memory.use(write);
      const int written = co_await state_->reactor.operation(write);
      if (written == size) co_return base::Unit{};
    }
  }
  if (!has_read) {
    auto got = co_await this->read(tid, address, bytes);
    if (!got) co_return got;
    if (!work()) co_return base::Unit{};
  }
  auto done = co_await write(tid, address, bytes, still);
  co_return done;
}

ring::Task<base::Result<std::string>> Tracees::read_path(pid_t tid, std::uint64_t address) {
  Turns::Turn its;
  const bool mine = co_await turn(Kind::read, tid, its);
  if (!mine) co_return base::fail(ESRCH);
  std::string name = proc_path(tid, "mem");
  auto memory = co_await open_file(state_->reactor, AT_FDCWD, name, O_RDONLY);
  if (!memory) co_return tl::make_unexpected(of_memory(memory.error()));
  std::string path;
  std::array<char, kPage> chunk;
  // Never past the end of a page: the next one may not be there, and a short path need not reach
  // it.
  while (path.size() < PATH_MAX) {
    std::size_t size = std::min(kPage - (address + path.size()) % kPage, PATH_MAX - path.size());
    std::span<char> part(chunk.data(), size);
    CO_TRY_VOID(co_await read_memory(state_->reactor, memory->get(), address + path.size(),
                                     std::as_writable_bytes(part)));
    std::size_t end = std::string_view(chunk.data(), size).find('\0');
    path.append(chunk.data(), std::min(end, size));
    if (end != std::string_view::npos) co_return path;
  }
  co_return base::fail(ENAMETOOLONG);
}

}  // namespace seccomp
