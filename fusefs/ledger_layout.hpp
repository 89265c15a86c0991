// Owns: the form of a ledger, byte by byte. Called by: Ledger, and Overlay's restoring.
// Never: changes without a new kVersion: a successor of another build reads what this one wrote.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fusefs::layout {

inline constexpr char kMagic[8] = {'u', 'n', 'i', 'l', 'e', 'd', 'g', 'r'};
inline constexpr std::uint32_t kVersion = 2;
inline constexpr std::size_t kPage = 4096;
inline constexpr std::size_t kSegment = 1024 * 1024;  // by which the file grows
inline constexpr std::size_t kSegments = 1792;        // at most: some ten million nodes
inline constexpr std::size_t kInFlight = 16384;
inline constexpr std::size_t kCounted = 4080;
inline constexpr std::size_t kSettled = 16;

/// What a segment holds. Within one, no record crosses a page.
enum class Kind : std::uint8_t { none, head, nodes, name32, name64, name128, name272, handles };
inline constexpr std::size_t kKinds = 8;

/// By its number: record 0 and 1 are not used.
struct Node {
  static constexpr std::uint8_t kLive = 1, kMulti = 2;
  std::uint64_t lookups;  // what the kernel will FORGET, or more
  std::uint64_t ino;      // as presented
  std::uint64_t
      disk_ino;         // kMulti: in the upper layer's index of hard links; orphans: to tell them
  std::uint16_t layer;  // of an orphan
  std::uint8_t type;    // identity::NodeType
  std::uint8_t state;   // written last
  std::uint32_t unused;
};
static_assert(sizeof(Node) == 32);

/// One name of a node. In a cell of 32, 64, 128 or 272 bytes, whichever its text fits.
struct Name {
  std::uint32_t node, parent;
  std::uint8_t length, live;  // live: written last
  char text[22];
};
static_assert(sizeof(Name) == 32);
inline constexpr std::size_t kNameHead = 10;

/// By its number as the kernel knows it.
struct Handle {
  static constexpr std::uint8_t kLive = 1;
  std::uint32_t node;
  std::uint8_t access;  // O_ACCMODE part of what was asked for
  std::uint8_t state;   // written last
  std::uint16_t unused;
};
static_assert(sizeof(Handle) == 8);

struct InFlight {
  std::uint64_t unique;  // 0: free; written last
  std::uint32_t opcode;
  std::uint32_t interrupted;
};

/// What the answer in the making has given to the kernel, to be taken back if it was never sent.
struct Counted {
  std::uint64_t unique;
  std::uint64_t handle;  // + 1
  std::uint64_t count;
  std::uint32_t nodes[kCounted];
};

/// The one change that is being made on disk.
struct Intent {
  enum : std::uint8_t { kNone, kBegun, kWhole };
  std::uint64_t unique;
  std::uint8_t state;  // written last
  std::uint8_t act;
  std::uint8_t flags;
  std::uint8_t length, new_length;
  std::uint32_t node, target, parent, new_parent;
  std::uint64_t ino, target_ino;          // on disk, before
  std::uint64_t sidecar, target_sidecar;  // inode numbers; 0: there was none
  std::uint64_t handle;
  char name[255], new_name[255];
};

/// A change of an earlier daemon whose request has not been answered yet.
struct Settled {
  std::uint64_t unique;  // written last
  std::uint32_t verdict;
  std::uint32_t unused;
};

struct Agreed {
  std::uint64_t flags;  // of INIT
  std::uint32_t minor, max_write;
  std::uint32_t answered;  // written last
  std::uint32_t unused;
};

struct Head {
  char magic[8];
  std::uint32_t version;
  std::uint32_t incomplete;  // something could not be written down: of no use to a successor
  char build[64];
  std::uint64_t takeovers;
  std::uint64_t layers;       // tells the layers apart from others
  std::uint64_t last_unique;  // of the requests read
  Agreed agreed;
  Intent intent;
  Settled settled[kSettled];
  std::uint32_t next_settled;
  std::uint32_t slots;               // in_flight beyond these were never used
  std::uint8_t segments[kSegments];  // Kind; written after the file has grown
};
static_assert(sizeof(Head) <= kPage);

struct HeadSegment {
  alignas(kPage) Head head;
  alignas(kPage) InFlight in_flight[kInFlight];
  alignas(kPage) Counted counted;  // of the answer in the making
  alignas(kPage) Counted suspect;  // of the one that was in the making when a daemon died
};
static_assert(sizeof(HeadSegment) <= kSegment);

}  // namespace fusefs::layout
