// Owns: what is counted of one FUSE connection, and the view of a request that waits. Called by:
// Session (counts), daemon/status (reads, adds up). Never: costs an idle mount more than a row of
// zeros: a histogram is made for an operation at its first request.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/metrics.hpp"
#include "fusefs/wire.hpp"

namespace fusefs {

struct OpStats {
  std::uint64_t requests = 0;
  std::uint64_t waited = 0;             // did not complete inline: a kernel worker had a part in it
  std::map<int, std::uint64_t> errors;  // replies by errno
  std::unique_ptr<base::metrics::Histogram> latency;

  void record(std::int64_t nanoseconds) {
    if (!latency) latency = std::make_unique<base::metrics::Histogram>();
    latency->record(nanoseconds);
  }
};

struct SessionStats {
  std::array<OpStats, wire::kOpCount> ops;  // [0]: errors answered to what is no operation
  std::uint64_t rejected = 0;               // malformed
  std::uint64_t reply_failures = 0;         // the kernel had given the request up
  std::uint64_t resent = 0;                 // came again from the kernel after a take-over
  std::uint64_t already_done = 0;           // of these: had been done, and lacked the answer only
  std::uint64_t lost = 0;  // answered EIO after a take-over: nobody knew them any more

  std::uint64_t requests() const;
  std::uint64_t waited() const;
  std::uint64_t error_replies() const;
  std::map<int, std::uint64_t> errors() const;
  void merge(const SessionStats& other);
};

/// One request that waits: what a stack trace is to a thread.
struct WaitingRequest {
  std::uint64_t unique = 0;
  std::string_view op;
  std::uint64_t node = 0;
  std::string path;  // from the mount's root; empty: no name, or too long a one
  double seconds = 0;
  std::uint32_t pid = 0;   // as the mount's pid namespace numbers the caller; 0: not in it
  std::string_view waits;  // for "copy-up", "read", "write", "fsync", "fallocate", "layer"
  bool interrupted = false;
};

struct Node;
/// From the mount's root, "/" being itself. Empty: it has no name any more, or one that is longer
/// than a path may be.
std::string path_of(const Node* node);
/// What a request of this operation waits for, as far as that can be told from outside.
std::string_view waits_for(std::uint32_t opcode, const Node* node);

}  // namespace fusefs
