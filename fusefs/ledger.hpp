// Owns: what a successor needs to go on serving a mount whose daemon died: nodes and names, open
// handles, requests under way, the change being made; in a memfd that somebody else keeps.
// Called by: NodeTable, Handles, Overlay and Session as things change. Never: makes a system call
// for a look-up, or says less of the kernel's references than there are: a crash between any two
// stores leaves a ledger that counts too many.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "fusefs/ledger_layout.hpp"

namespace fusefs {

/// What kind of change an intent is of: how a successor sees whether it happened.
enum class Act : std::uint8_t { create, link, remove, rename, set_xattr, remove_xattr, release };

/// Of a request that comes again: how far the daemon before us had got with it.
enum class Verdict : std::uint32_t {
  none,   // not begun, or taken back: as any other
  begun,  // was found to be legal, and may have been done: "exists", "is not there" are no errors
  done,   // only the answer is missing
};

/// Moments in a request's life, for tests that let the daemon die at each of them.
enum class Point : std::uint8_t { received, begun, happened, answering, answered };

/// A change about to be made, and what tells afterwards whether it was.
struct Plan {
  static constexpr std::uint8_t kOverWhiteout = 1, kExchange = 2, kCovered = 4, kSpecial = 8,
                                kTargetSpecial = 16;
  Act act = Act::create;
  std::uint64_t unique = 0;
  std::uint8_t flags = 0;
  std::uint64_t parent = 0, new_parent = 0, node = 0, target = 0;
  std::string_view name = {}, new_name = {};
  std::uint64_t ino = 0, target_ino = 0, sidecar = 0, target_sidecar = 0;
  std::uint64_t handle = 0;
};

/// A file of equal records, mapped as it grows.
class Slab {
 public:
  Slab() = default;
  Slab(layout::Kind kind, std::size_t size) : kind_(kind), size_(size) {}
  layout::Kind kind() const { return kind_; }
  std::size_t in_segment() const { return layout::kSegment / layout::kPage * in_page(); }
  std::size_t in_page() const { return layout::kPage / size_; }
  std::size_t capacity() const { return segments_.size() * in_segment(); }
  std::byte* at(std::size_t index) const;
  /// Records have no number of their own: a free one is looked for.
  bool chooses() const { return kind_ != layout::Kind::nodes && kind_ != layout::Kind::handles; }

 private:
  friend class Ledger;
  struct Page {
    std::uint16_t live = 0;
    std::uint16_t hint = 0;  // no free record below
  };
  struct Piece {
    std::byte* memory;
    std::size_t number;  // of the segment in the file
  };
  layout::Kind kind_ = layout::Kind::none;
  std::size_t size_ = 1;
  std::vector<Piece> segments_;
  std::vector<Page> pages_;
  std::vector<std::uint32_t> open_;  // pages in which a record is free, each once
  std::size_t emptied_ = 0;          // pages since memory was last given back
};

class Ledger {
 public:
  using Cell = std::uint32_t;  // of a name; 0: none
  static constexpr std::uint32_t kNoSlot = UINT32_MAX;

  /// A new one. `build` is for the logs of a successor.
  static base::Checked<std::unique_ptr<Ledger>> create(std::string_view build = {});
  /// That of a daemon which died; may end in the middle of anything.
  static base::Checked<std::unique_ptr<Ledger>> adopt(base::Fd memory);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  /// To be kept by whoever outlives us.
  int fd() const { return memory_.get(); }
  /// Adopted, and nobody has taken over yet.
  bool inherited() const { return inherited_; }
  void taken_over();
  const layout::Head& head() const { return first_->head; }
  std::string build() const;
  void belongs_to(std::uint64_t layers) { first_->head.layers = layers; }
  /// What INIT came to; before it is answered.
  void agree(std::uint64_t flags, std::uint32_t minor, std::uint32_t max_write);

  // --- nodes and their names ---
  void describe(std::uint64_t node, std::uint64_t ino, std::uint8_t type);
  void lookups(std::uint64_t node, std::uint64_t count);
  /// The answer in the making gives the kernel one more reference to the node.
  void counted(std::uint64_t node);
  /// Hard linked, known by this inode number of the upper layer.
  void index(std::uint64_t node, std::uint64_t disk_ino);
  /// About to lose its last name: this is what its descriptor will be told by.
  void orphan(std::uint64_t node, std::uint64_t disk_ino, std::uint16_t layer);
  void bury(std::uint64_t node);
  Cell name(std::uint64_t node, std::uint64_t parent, std::string_view text);
  void drop_name(Cell cell);

  // --- handles ---
  void handle(std::uint64_t handle, std::uint64_t node, int access);
  void drop_handle(std::uint64_t handle);

  // --- requests ---
  /// The slot to give back by end().
  std::uint32_t begin(std::uint64_t unique, std::uint32_t opcode);
  void interrupted(std::uint32_t slot);
  /// The request has been answered.
  void end(std::uint32_t slot, std::uint64_t unique);
  /// From now on counted() and handle() are of this request's answer.
  void answering(std::uint64_t unique);
  std::uint64_t current() const { return first_->counted.unique; }
  void intend(const Plan& plan);
  void whole();
  void give_up();
  void settle(std::uint64_t unique, Verdict verdict);
  Verdict verdict(std::uint64_t unique) const;

  // --- for the successor ---
  struct FoundName {
    Cell cell;
    std::uint32_t node, parent;
    std::string text;
  };
  const layout::Node* node_at(std::size_t id) const;
  std::size_t node_limit() const { return slab(layout::Kind::nodes).capacity(); }
  const layout::Handle* handle_at(std::size_t handle) const;
  std::size_t handle_limit() const { return slab(layout::Kind::handles).capacity(); }
  void each_name(const std::function<void(const FoundName&)>& each) const;
  const layout::Intent& intent() const { return first_->head.intent; }
  std::vector<layout::InFlight> lost() const;
  void forget_lost();
  /// The answer that was in the making when the daemon died; to be taken back if it comes again.
  void suspect_answer();
  /// The nodes and the handle that it had given out (handle + 1; 0: none), each only once.
  struct Given {
    std::vector<std::uint32_t> nodes;
    std::uint64_t handle = 0;
  };
  Given take_back(std::uint64_t unique);

  /// Tests let the daemon die here; with the operation that began last.
  std::function<void(Point, std::uint32_t opcode)> on_point;
  void pass(Point point) {
    if (on_point) on_point(point, opcode_);
  }

 private:
  explicit Ledger(base::Fd memory);
  base::Checked<base::Unit> open_first(bool fresh);
  base::Checked<base::Unit> take_stock();
  void count_records(Slab& slab);
  static bool is_live(layout::Kind kind, const std::byte* record);
  std::byte* map(std::size_t segment);
  Slab& slab(layout::Kind kind) { return slabs_[static_cast<std::size_t>(kind)]; }
  const Slab& slab(layout::Kind kind) const { return slabs_[static_cast<std::size_t>(kind)]; }
  bool grow(Slab& slab);
  std::byte* record(layout::Kind kind, std::size_t index);  // nullptr: the ledger is incomplete
  void took(Slab& slab, std::size_t index);
  void gave(Slab& slab, std::size_t index);
  std::size_t choose(Slab& slab);  // the index of a free record; SIZE_MAX: there is none
  void punch(Slab& slab);

  base::Fd memory_;
  layout::HeadSegment* first_ = nullptr;
  std::size_t segments_ = 0;
  bool inherited_ = false;
  std::array<Slab, layout::kKinds> slabs_;
  std::vector<std::uint16_t> free_slots_;
  std::uint32_t next_slot_ = 0;
  std::uint32_t opcode_ = 0;
  std::vector<std::byte*> mapped_;
};

/// A change from its announcement to the moment when it has happened. Not made: taken back.
class Change {
 public:
  /// `ledger` may be nullptr.
  Change(Ledger* ledger, const Plan& plan) : ledger_(ledger) {
    if (ledger_) ledger_->intend(plan);
  }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;
  /// It is on disk, whole, and will not be taken back.
  void happened() {
    if (ledger_) std::exchange(ledger_, nullptr)->whole();
  }
  ~Change() {
    if (ledger_) ledger_->give_up();
  }

 private:
  Ledger* ledger_;
};

}  // namespace fusefs
