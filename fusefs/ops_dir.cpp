// Reading directories. There is no opendir: a place in a listing means the same to everybody.
#include <dirent.h>
#include <fcntl.h>

#include <algorithm>

#include "fusefs/op_table.hpp"

namespace fusefs {

namespace at = ring::at;

namespace {

// Writes directory entries into a reply of bounded size. A buffer of its own: those for requests
// are large, and all of their pages there before they are used.
class Page {
 public:
  explicit Page(std::size_t limit) : limit_(limit) { text_.reserve(limit); }

  bool fits(std::size_t head, std::size_t name) const {
    return text_.size() + FUSE_DIRENT_ALIGN(head + name) <= limit_;
  }
  void put(const fuse_entry_out* entry, std::string_view name, std::uint64_t ino,
           std::uint32_t type, std::uint64_t next) {
    std::size_t begin = text_.size();
    if (entry) append(entry, sizeof *entry);
    fuse_dirent head{};
    head.ino = ino;
    head.off = next;
    head.namelen = static_cast<std::uint32_t>(name.size());
    head.type = type;
    append(&head, FUSE_NAME_OFFSET);
    append(name.data(), name.size());
    text_.resize(begin + FUSE_DIRENT_ALIGN(text_.size() - begin));
  }
  bool empty() const { return text_.empty(); }
  void answer(Answer& out) { out.put(std::move(text_)); }

 private:
  void append(const void* data, std::size_t size) {
    text_.append(static_cast<const char*>(data), size);
  }
  std::string text_;
  std::size_t limit_;
};

// A read from the start is an opendir(3) or a rewinddir(3): it sees what is there by now.
base::Result<std::shared_ptr<const Listing>> listing_of(Overlay& fs, Node* dir,
                                                        std::uint64_t offset) {
  if (!dir->is_dir()) return base::fail(ENOTDIR);
  auto known = offset ? fs.listings().find(dir->id) : nullptr;
  if (known) return known;
  TRY(fresh, fs.list(dir));
  fresh->arrange();
  known = std::move(fresh);
  fs.listings().put(dir->id, known);
  return known;
}

Done read_directory(Overlay& fs, Request& request, Answer& answer, bool plus) {
  auto in = request.reader().take<fuse_read_in>();
  TRY(listing, listing_of(fs, request.node, in->offset));
  Page page(std::min<std::size_t>(in->size, request.buffers->size()));
  std::size_t head = FUSE_NAME_OFFSET + (plus ? sizeof(fuse_entry_out) : 0);
  const fuse_entry_out none{};
  constexpr std::uint64_t kLong = 24 * 60 * 60;  // seconds
  const bool for_ever = validity(fs).seconds > kLong;
  for (std::uint64_t at = in->offset; at < 2; ++at) {
    std::string_view dots = std::string_view("..").substr(0, at + 1);
    if (!page.fits(head, dots.size())) break;
    page.put(plus ? &none : nullptr, dots, request.node->ino, DT_DIR, at + 1);
  }
  std::size_t next = listing->after(in->offset);
  for (; next < listing->size(); ++next) {
    const Listing::Item& item = listing->item(next);
    std::string_view name = listing->name(item);
    if (!page.fits(head, name.size())) break;
    if (!plus) {
      page.put(nullptr, name, item.ino, item.type, item.place);
      continue;
    }
    // What the kernel knows it need not be told again.
    const Node* known = for_ever ? fs.nodes().find(request.node, name) : nullptr;
    if (known && known->told && known->lookups > 0) {
      page.put(&none, name, known->ino, item.type, item.place);
      continue;
    }
    auto entry = fs.lookup(request.node, name);
    if (!entry && entry.error().value == ENOENT) continue;  // removed since the listing was made
    // Counted as known to the kernel only now that it is sure to be in the reply.
    fuse_entry_out out = entry ? to_entry(fs, *entry) : none;
    page.put(&out, name, entry ? out.attr.ino : item.ino, entry ? IFTODT(out.attr.mode) : item.type,
             item.place);
  }
  if (next == listing->size() && page.empty()) fs.listings().drop(request.node->id);
  page.answer(answer);
  return base::Unit{};
}

}  // namespace

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
