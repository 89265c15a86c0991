#include "fusefs/session_stats.hpp"

#include "fusefs/node.hpp"

namespace fusefs {

std::uint64_t SessionStats::requests() const {
  std::uint64_t sum = 0;
  for (const OpStats& op : ops) sum += op.requests;
  return sum;
}

std::uint64_t SessionStats::waited() const {
  std::uint64_t sum = 0;
  for (const OpStats& op : ops) sum += op.waited;
  return sum;
}

std::map<int, std::uint64_t> SessionStats::errors() const {
  std::map<int, std::uint64_t> sum;
  for (const OpStats& op : ops)
    for (auto [error, count] : op.errors) sum[error] += count;
  return sum;
}

std::uint64_t SessionStats::error_replies() const {
  std::uint64_t sum = 0;
  for (auto [error, count] : errors()) sum += count;
  return sum;
}

void SessionStats::merge(const SessionStats& other) {
  for (std::size_t op = 0; op < ops.size(); ++op) {
    const OpStats& from = other.ops[op];
    OpStats& to = ops[op];
    to.requests += from.requests;
    to.waited += from.waited;
    for (auto [error, count] : from.errors) to.errors[error] += count;
    if (!from.latency) continue;
    if (!to.latency) to.latency = std::make_unique<base::metrics::Histogram>();
    to.latency->merge(*from.latency);
  }
  rejected += other.rejected;
  reply_failures += other.reply_failures;
  resent += other.resent;
  lost += other.lost;
}

std::string path_of(const Node* node) {
  constexpr std::size_t kLongest = 4096;
  std::string path;
  if (node->gone) return path;
  for (; node->name.parent; node = node->name.parent) {
    if (path.size() + node->name.text.size() >= kLongest) return {};
    path.insert(0, "/" + node->name.text);
  }
  return path.empty() ? "/" : path;
}

std::string_view waits_for(std::uint32_t opcode, const Node* node) {
  if (node && node->file && node->file->copying) return "copy-up";
  switch (opcode) {
    case FUSE_READ: return "read";
    case FUSE_WRITE: return "write";
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR: return "fsync";
    case FUSE_FALLOCATE: return "fallocate";
    case FUSE_RENAME:  // of a whole tree, where a redirect will not do
    case FUSE_RENAME2: return "copy-up";
    default: return "layer";
  }
}

}  // namespace fusefs
