#include "fusefs/ledger.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

namespace fusefs {

using layout::Kind;

namespace {

constexpr std::size_t kPunchAfter = 64;  // empty pages before they are given back
constexpr std::array<std::size_t, layout::kKinds> kSizes = {1,   1,   sizeof(layout::Node),  32, 64,
                                                            128, 272, sizeof(layout::Handle)};
constexpr std::array<Kind, 4> kNameKinds = {Kind::name32, Kind::name64, Kind::name128,
                                            Kind::name272};
constexpr unsigned kCellShift = 30;

// The process may die between any two instructions, and what it has stored by then is what the
// successor reads: only the compiler could change the order.
template <class T>
void publish(T& where, T value) {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  *const_cast<volatile T*>(&where) = value;
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

std::uint8_t* state_of(Kind kind, std::byte* record) {
  switch (kind) {
    case Kind::nodes: return &reinterpret_cast<layout::Node*>(record)->state;
    case Kind::handles: return &reinterpret_cast<layout::Handle*>(record)->state;
    default: return &reinterpret_cast<layout::Name*>(record)->live;
  }
}

}  // namespace

std::byte* Slab::at(std::size_t index) const {
  std::size_t segment = index / in_segment(), rest = index % in_segment();
  if (segment >= segments_.size()) return nullptr;
  return segments_[segment].memory + rest / in_page() * layout::kPage + rest % in_page() * size_;
}

Ledger::Ledger(base::Fd memory) : memory_(std::move(memory)) {
  for (std::size_t i = 0; i < layout::kKinds; ++i)
    slabs_[i] = Slab(static_cast<Kind>(i), kSizes[i]);
}

Ledger::~Ledger() {
  for (std::byte* at : mapped_) ::munmap(at, layout::kSegment);
}

std::byte* Ledger::map(std::size_t segment) {
  void* at = ::mmap(nullptr, layout::kSegment, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(),
                    static_cast<off_t>(segment * layout::kSegment));
  if (at == MAP_FAILED) return nullptr;
  ::madvise(at, layout::kSegment, MADV_DONTDUMP);
  mapped_.push_back(static_cast<std::byte*>(at));
  return mapped_.back();
}

base::Checked<base::Unit> Ledger::open_first(bool fresh) {
  if (fresh && ::ftruncate(memory_.get(), layout::kSegment) != 0)
    return base::refuse(std::string("ledger: ") + std::strerror(errno));
  std::byte* at = map(0);
  if (!at) return base::refuse(std::string("ledger: mmap: ") + std::strerror(errno));
  first_ = reinterpret_cast<layout::HeadSegment*>(at);
  segments_ = 1;
  return base::Unit{};
}

base::Checked<std::unique_ptr<Ledger>> Ledger::create(std::string_view build) {
  base::Fd memory(::memfd_create("usernetes-identity-ledger", MFD_CLOEXEC));
  if (!memory.valid()) return base::refuse(std::string("ledger: memfd: ") + std::strerror(errno));
  std::unique_ptr<Ledger> ledger(new Ledger(std::move(memory)));
  TRY_VOID(ledger->open_first(true));
  layout::Head& head = ledger->first_->head;
  head.version = layout::kVersion;
  build.copy(head.build, sizeof head.build - 1);
  head.segments[0] = static_cast<std::uint8_t>(Kind::head);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  std::memcpy(head.magic, layout::kMagic, sizeof head.magic);
  return ledger;
}

base::Checked<std::unique_ptr<Ledger>> Ledger::adopt(base::Fd memory) {
  struct stat st;
  if (::fstat(memory.get(), &st) != 0)
    return base::refuse(std::string("ledger: ") + std::strerror(errno));
  if (!S_ISREG(st.st_mode) || st.st_size < static_cast<off_t>(layout::kSegment))
    return base::refuse("ledger: the descriptor is not of a ledger");
  std::unique_ptr<Ledger> ledger(new Ledger(std::move(memory)));
  TRY_VOID(ledger->open_first(false));
  const layout::Head& head = ledger->first_->head;
  if (std::memcmp(head.magic, layout::kMagic, sizeof head.magic) != 0)
    return base::refuse("ledger: the descriptor is not of a ledger");
  if (head.version != layout::kVersion)
    return base::refuse("ledger: has layout " + std::to_string(head.version) + " of build " +
                        ledger->build() + ", this build reads layout " +
                        std::to_string(layout::kVersion) + " only: unmount, and mount again");
  if (head.incomplete)
    return base::refuse("ledger: is incomplete, since it could not grow: unmount, and mount again");
  ledger->inherited_ = true;
  TRY_VOID(ledger->take_stock());
  return ledger;
}

// The segments there are, and how many records are live in each page.
base::Checked<base::Unit> Ledger::take_stock() {
  struct stat st;
  if (::fstat(memory_.get(), &st) != 0)
    return base::refuse(std::string("ledger: ") + std::strerror(errno));
  std::size_t there = static_cast<std::size_t>(st.st_size) / layout::kSegment;
  const layout::Head& head = first_->head;
  for (; segments_ < layout::kSegments && head.segments[segments_]; ++segments_) {
    std::size_t kind = head.segments[segments_];
    if (segments_ >= there || kind <= static_cast<std::size_t>(Kind::head) ||
        kind >= layout::kKinds)
      return base::refuse("ledger: segment " + std::to_string(segments_) + " is damaged");
    std::byte* at = map(segments_);
    if (!at) return base::refuse(std::string("ledger: mmap: ") + std::strerror(errno));
    slabs_[kind].segments_.push_back({at, segments_});
  }
  for (Slab& each : slabs_) count_records(each);
  return base::Unit{};
}

// Holes are passed over: to read them would fill them.
void Ledger::count_records(Slab& which) {
  constexpr std::size_t kPages = layout::kSegment / layout::kPage;
  which.pages_.resize(which.segments_.size() * kPages);
  for (std::size_t s = 0; s < which.segments_.size(); ++s) {
    auto begin = static_cast<off_t>(which.segments_[s].number * layout::kSegment);
    auto end = begin + static_cast<off_t>(layout::kSegment);
    for (off_t at = begin; (at = ::lseek(memory_.get(), at, SEEK_DATA)) >= 0 && at < end;
         at += layout::kPage) {
      std::size_t page = s * kPages + static_cast<std::size_t>(at - begin) / layout::kPage;
      for (std::size_t i = 0; i < which.in_page(); ++i) {
        std::byte* record = which.at(page * which.in_page() + i);
        which.pages_[page].live =
            static_cast<std::uint16_t>(which.pages_[page].live + is_live(which.kind_, record));
      }
    }
  }
  for (std::size_t page = which.pages_.size(); page-- > 0;)
    if (which.chooses() && which.pages_[page].live < which.in_page())
      which.open_.push_back(static_cast<std::uint32_t>(page));
}

bool Ledger::is_live(Kind kind, const std::byte* record) {
  return *state_of(kind, const_cast<std::byte*>(record)) & 1;
}

std::string Ledger::build() const {
  const char* text = first_->head.build;
  return std::string(text, ::strnlen(text, sizeof first_->head.build));
}

void Ledger::taken_over() {
  inherited_ = false;
  publish(first_->head.takeovers, first_->head.takeovers + 1);
}

void Ledger::agree(std::uint64_t flags, std::uint32_t minor, std::uint32_t max_write) {
  layout::Agreed& there = first_->head.agreed;
  there.flags = flags;
  there.minor = minor;
  there.max_write = max_write;
  publish(there.answered, 1u);
}

// --- records ---------------------------------------------------------------------------------

bool Ledger::grow(Slab& which) {
  std::byte* at = nullptr;
  auto size = static_cast<off_t>((segments_ + 1) * layout::kSegment);
  if (segments_ < layout::kSegments && ::ftruncate(memory_.get(), size) == 0) at = map(segments_);
  if (!at) {
    first_->head.incomplete = 1;
    return false;
  }
  publish(first_->head.segments[segments_], static_cast<std::uint8_t>(which.kind_));
  std::size_t first = which.pages_.size();
  which.segments_.push_back({at, segments_++});
  which.pages_.resize(first + layout::kSegment / layout::kPage);
  for (std::size_t page = which.pages_.size(); which.chooses() && page-- > first;)
    which.open_.push_back(static_cast<std::uint32_t>(page));
  return true;
}

std::byte* Ledger::record(Kind kind, std::size_t index) {
  Slab& which = slab(kind);
  while (index >= which.capacity())
    if (!grow(which)) return nullptr;
  return which.at(index);
}

void Ledger::took(Slab& which, std::size_t index) {
  Slab::Page& page = which.pages_[index / which.in_page()];
  if (++page.live == which.in_page() && which.chooses()) which.open_.pop_back();
}

void Ledger::gave(Slab& which, std::size_t index) {
  Slab::Page& page = which.pages_[index / which.in_page()];
  bool was_full = page.live == which.in_page();
  page.hint = std::min(page.hint, static_cast<std::uint16_t>(index % which.in_page()));
  if (was_full && which.chooses())
    which.open_.push_back(static_cast<std::uint32_t>(index / which.in_page()));
  if (--page.live == 0 && ++which.emptied_ >= kPunchAfter) punch(which);
}

void Ledger::punch(Slab& which) {
  constexpr std::size_t kPages = layout::kSegment / layout::kPage;
  which.emptied_ = 0;
  for (std::size_t page = 0; page < which.pages_.size();) {
    std::size_t last = page;
    std::size_t limit = std::min(which.pages_.size(), (page / kPages + 1) * kPages);
    while (last < limit && which.pages_[last].live == 0) ++last;
    if (last > page) {
      std::size_t at =
          which.segments_[page / kPages].number * layout::kSegment + page % kPages * layout::kPage;
      ::fallocate(memory_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
                  static_cast<off_t>((last - page) * layout::kPage));
    }
    page = std::max(last, page + 1);
  }
}

void Ledger::describe(std::uint64_t id, std::uint64_t ino, std::uint8_t type) {
  auto* node = reinterpret_cast<layout::Node*>(record(Kind::nodes, id));
  if (!node) return;
  if (!(node->state & layout::Node::kLive)) {
    took(slab(Kind::nodes), id);
    node->lookups = 0;
    node->disk_ino = 0;
    node->layer = 0;
  }
  node->ino = ino;
  node->type = type;
  publish(node->state, static_cast<std::uint8_t>(node->state | layout::Node::kLive));
}

void Ledger::lookups(std::uint64_t id, std::uint64_t count) {
  if (auto* node = reinterpret_cast<layout::Node*>(slab(Kind::nodes).at(id)))
    publish(node->lookups, count);
}

// After the count itself: a crash in between counts one too many, not one too few.
void Ledger::counted(std::uint64_t id) {
  layout::Counted& answer = first_->counted;
  if (answer.count >= layout::kCounted) return;
  answer.nodes[answer.count] = static_cast<std::uint32_t>(id);
  publish(answer.count, answer.count + 1);
}

void Ledger::index(std::uint64_t id, std::uint64_t disk_ino) {
  auto* node = reinterpret_cast<layout::Node*>(slab(Kind::nodes).at(id));
  if (!node) return;
  node->disk_ino = disk_ino;
  publish(node->state, static_cast<std::uint8_t>(node->state | layout::Node::kMulti));
}

void Ledger::orphan(std::uint64_t id, std::uint64_t disk_ino, std::uint16_t layer) {
  auto* node = reinterpret_cast<layout::Node*>(slab(Kind::nodes).at(id));
  if (!node) return;
  node->layer = layer;
  publish(node->disk_ino, disk_ino);
}

void Ledger::bury(std::uint64_t id) {
  auto* node = reinterpret_cast<layout::Node*>(slab(Kind::nodes).at(id));
  if (!node || !(node->state & layout::Node::kLive)) return;
  publish(node->state, std::uint8_t{0});
  gave(slab(Kind::nodes), id);
}

// The record is to be made live, and then said to be took().
std::size_t Ledger::choose(Slab& cells) {
  if (cells.open_.empty() && !grow(cells)) return SIZE_MAX;
  std::uint32_t number = cells.open_.back();
  Slab::Page& page = cells.pages_[number];
  std::size_t index = number * cells.in_page() + page.hint;
  while (is_live(cells.kind_, cells.at(index))) ++index;
  page.hint = static_cast<std::uint16_t>(index % cells.in_page() + 1);
  return index;
}

Ledger::Cell Ledger::name(std::uint64_t node, std::uint64_t parent, std::string_view text) {
  std::size_t size = layout::kNameHead + text.size();
  std::size_t which = size <= 32 ? 0 : size <= 64 ? 1 : size <= 128 ? 2 : 3;
  Slab& cells = slab(kNameKinds[which]);
  std::size_t index = choose(cells);
  if (index == SIZE_MAX) return 0;
  auto* name = reinterpret_cast<layout::Name*>(cells.at(index));
  name->node = static_cast<std::uint32_t>(node);
  name->parent = static_cast<std::uint32_t>(parent);
  name->length = static_cast<std::uint8_t>(text.size());
  text.copy(reinterpret_cast<char*>(name) + layout::kNameHead, text.size());
  publish(name->live, std::uint8_t{1});
  took(cells, index);
  return static_cast<Cell>(which << kCellShift | index) + 1;
}

void Ledger::drop_name(Cell cell) {
  if (!cell) return;
  Slab& cells = slab(kNameKinds[(cell - 1) >> kCellShift]);
  std::size_t index = (cell - 1) & ((1u << kCellShift) - 1);
  publish(reinterpret_cast<layout::Name*>(cells.at(index))->live, std::uint8_t{0});
  gave(cells, index);
}

void Ledger::handle(std::uint64_t number, std::uint64_t node, int access) {
  auto* handle = reinterpret_cast<layout::Handle*>(record(Kind::handles, number));
  if (!handle) return;
  handle->node = static_cast<std::uint32_t>(node);
  handle->access = static_cast<std::uint8_t>(access & O_ACCMODE);
  publish(handle->state, layout::Handle::kLive);
  took(slab(Kind::handles), number);
  publish(first_->counted.handle, number + 1);
}

void Ledger::drop_handle(std::uint64_t number) {
  auto* handle = reinterpret_cast<layout::Handle*>(slab(Kind::handles).at(number));
  if (!handle || !(handle->state & layout::Handle::kLive)) return;
  publish(handle->state, std::uint8_t{0});
  gave(slab(Kind::handles), number);
}

}  // namespace fusefs
