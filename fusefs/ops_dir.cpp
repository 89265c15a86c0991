// Operations on open directories.
#include <dirent.h>
#include <fcntl.h>

#include <algorithm>

#include "fusefs/op_table.hpp"

namespace fusefs {

namespace at = ring::at;

namespace {

// Writes directory entries into a reply of bounded size.
class Page {
 public:
  Page(Buffer buffer, std::size_t limit) : buffer_(std::move(buffer)), limit_(limit) {}

  bool fits(std::size_t head, std::size_t name) const {
    return used_ + FUSE_DIRENT_ALIGN(head + name) <= limit_;
  }
  void put(const fuse_entry_out* entry, std::string_view name, std::uint64_t ino,
           std::uint32_t type, std::uint64_t next) {
    std::size_t begin = used_;
    if (entry) append(entry, sizeof *entry);
    fuse_dirent head{};
    head.ino = ino;
    head.off = next;
    head.namelen = static_cast<std::uint32_t>(name.size());
    head.type = type;
    append(&head, FUSE_NAME_OFFSET);
    append(name.data(), name.size());
    std::size_t end = begin + FUSE_DIRENT_ALIGN(used_ - begin);
    std::memset(buffer_.get() + used_, 0, end - used_);
    used_ = end;
  }
  void answer(Answer& out) { out.put(std::move(buffer_), used_); }

 private:
  void append(const void* data, std::size_t size) {
    std::memcpy(buffer_.get() + used_, data, size);
    used_ += size;
  }
  Buffer buffer_;
  std::size_t limit_;
  std::size_t used_ = 0;
};

constexpr std::uint64_t kFirstEntry = 2;  // positions 0 and 1 are "." and ".."

// The directory is being read, and the listing is lost: by another process, or since there were too
// many. What a position meant it must mean again.
std::shared_ptr<Listing> as_before(Ledger& ledger, std::uint64_t fh,
                                   std::shared_ptr<Listing> fresh) {
  Ledger::FoundListing before = ledger.listing_of(fh);
  if (before.hashes.empty()) {  // read to its end, or never
    auto ended = std::make_shared<Listing>();
    for (std::size_t i = 0; i < before.names; ++i) ended->add_gap();
    return before.names ? ended : fresh;
  }
  auto arranged = fresh->in_order(before.hashes);
  std::vector<std::uint32_t> order = arranged->hashes();
  std::copy(before.hashes.begin(), before.hashes.end(), order.begin());  // of the gaps, too
  ledger.listing(fh, order, false);
  return arranged;
}

base::Result<std::shared_ptr<Listing>> listing_of(Overlay& fs, const Request& request,
                                                  const fuse_read_in& in) {
  auto file = fs.handles().find(in.fh);
  if (!file || file->node.get() != request.node) return base::fail(EBADF);
  // A read from the start is a rewinddir(3): it sees what is there by now.
  if (in.offset == 0 || !file->listing) {
    TRY(fresh, fs.list(request.node));
    if (in.offset != 0 && fs.ledger()) fresh = as_before(*fs.ledger(), in.fh, std::move(fresh));
    fs.handles().put_listing(*file, std::move(fresh));
  }
  return file->listing;
}

Done read_directory(Overlay& fs, Request& request, Answer& answer, bool plus) {
  auto in = request.reader().take<fuse_read_in>();
  TRY(listing, listing_of(fs, request, *in));
  Page page(request.buffers->take(), std::min<std::size_t>(in->size, request.buffers->size()));
  std::size_t head = FUSE_NAME_OFFSET + (plus ? sizeof(fuse_entry_out) : 0);
  const fuse_entry_out none{};
  std::uint64_t end = listing->size() + kFirstEntry, at = in->offset;
  for (; at < end; ++at) {
    if (at < kFirstEntry) {
      std::string_view dots = std::string_view("..").substr(0, at + 1);
      if (!page.fits(head, dots.size())) break;
      page.put(plus ? &none : nullptr, dots, request.node->ino, DT_DIR, at + 1);
      continue;
    }
    const Listing::Item& item = listing->item(at - kFirstEntry);
    std::string_view name = listing->name(item);
    if (name.empty()) continue;
    if (!page.fits(head, name.size())) break;
    if (!plus) {
      page.put(nullptr, name, item.ino, item.type, at + 1);
      continue;
    }
    auto entry = fs.lookup(request.node, name);
    if (!entry && entry.error().value == ENOENT) continue;  // removed since the listing was made
    // Counted as known to the kernel only now that it is sure to be in the reply.
    fuse_entry_out out = entry ? to_entry(fs, *entry) : none;
    page.put(&out, name, entry ? out.attr.ino : item.ino, entry ? IFTODT(out.attr.mode) : item.type,
             at + 1);
  }
  if (in->offset == 0 && fs.ledger()) fs.ledger()->listing(in->fh, listing->hashes(), at >= end);
  page.answer(answer);
  return base::Unit{};
}

}  // namespace

Done on_opendir(Overlay& fs, Request& request, Answer& answer) {
  if (!request.node->is_dir()) return base::fail(ENOTDIR);
  fuse_open_out out{};
  out.fh = fs.handles().add(std::make_shared<OpenFile>(fs.nodes(), request.node));
  out.open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;
  answer.put(out);
  return base::Unit{};
}

Done on_readdir(Overlay& fs, Request& request, Answer& answer) {
  return read_directory(fs, request, answer, false);
}

Done on_readdirplus(Overlay& fs, Request& request, Answer& answer) {
  return read_directory(fs, request, answer, true);
}

ring::Task<Done> on_fsyncdir(Overlay& fs, Request& request, Answer&) {
  fuse_fsync_in in = *request.reader().take<fuse_fsync_in>();
  if (!fs.options().sync) co_return base::fail(ENOSYS);
  if (!fs.in_upper(request.node) || request.node->gone) co_return base::Unit{};
  CO_TRY(where, fs.locate(request.node));
  CO_TRY(fd, at::open(where, O_RDONLY | O_DIRECTORY));
  int rc = co_await fs.io().sync(fd.get(), in.fsync_flags & FUSE_FSYNC_FDATASYNC);
  co_return rc < 0 ? base::fail(-rc) : Done{base::Unit{}};
}

}  // namespace fusefs
