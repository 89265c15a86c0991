// Operations on names: look-up, creation of what is not opened, removal, rename, links.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fusefs/op_table.hpp"

namespace fusefs {

namespace at = ring::at;

namespace {

constexpr auto kMalformed = EINVAL;

dev_t to_device(std::uint32_t wire) {
  return makedev((wire & 0xfff00) >> 8, (wire & 0xff) | ((wire >> 12) & 0xfff00));
}

Done answer_entry(Overlay& fs, base::Result<Entry> entry, Answer& answer) {
  if (!entry) return tl::make_unexpected(entry.error());
  answer.put(to_entry(fs, *entry));
  return base::Unit{};
}

}  // namespace

Done on_lookup(Overlay& fs, Request& request, Answer& answer) {
  auto name = request.reader().take_string();
  if (!name) return base::fail(kMalformed);
  auto entry = fs.lookup(request.node, *name);
  if (!entry && entry.error().value == ENOENT && fs.options().timeout > 0) {
    // Node 0: the kernel may remember that there is no such name.
    fuse_entry_out nothing{};
    Validity valid = validity(fs);
    nothing.entry_valid = valid.seconds;
    nothing.entry_valid_nsec = valid.nanoseconds;
    answer.put(nothing);
    return base::Unit{};
  }
  return answer_entry(fs, std::move(entry), answer);
}

namespace {
// The kernel gives all its references back at once: what is left then may be an earlier daemon's
// who died before it had read a FORGET.
void forget(Overlay& fs, NodeId id, std::uint64_t count) {
  Node* node = fs.nodes().find(id);
  if (!node) return;
  if (count >= node->lookups) fs.drop_unannounced(id);
  fs.nodes().forget(node, count);
  if (!fs.ledger() || fs.ledger()->head().takeovers == 0) return;
  if (Node* left = fs.nodes().find(id)) fs.reconsider(left);
}
}  // namespace

Done on_forget(Overlay& fs, Request& request, Answer&) {
  auto in = request.reader().take<fuse_forget_in>();
  forget(fs, request.header.nodeid, in->nlookup);
  return base::Unit{};
}

Done on_batch_forget(Overlay& fs, Request& request, Answer&) {
  auto reader = request.reader();
  auto in = reader.take<fuse_batch_forget_in>();
  for (std::uint32_t i = 0; i < in->count; ++i) {
    auto one = reader.take<fuse_forget_one>();
    if (!one) return base::fail(kMalformed);
    forget(fs, one->nodeid, one->nlookup);
  }
  return base::Unit{};
}

Done on_readlink(Overlay& fs, Request& request, Answer& answer) {
  TRY(where, fs.locate(request.node));
  if (request.node->type != identity::NodeType::symlink) return base::fail(EINVAL);
  if (where.magic) {  // the link itself is gone: the descriptor is of the link
    where = at::Where{request.node->orphan.get(), ""};
  }
  TRY(target, at::readlink(where));
  answer.put(std::move(target));
  return base::Unit{};
}

Done on_symlink(Overlay& fs, Request& request, Answer& answer) {
  auto reader = request.reader();
  auto name = reader.take_string();
  auto target = reader.take_string();
  if (!name || !target) return base::fail(kMalformed);
  NewFile what{.mode = S_IFLNK | 0777, .target = std::string(*target)};
  return answer_entry(fs, fs.create(request.node, *name, what, caller_of(fs, request)), answer);
}

namespace {
// The kernel would not believe a device where it asked for a file. EEXIST makes it forget that
// there was nothing of that name; the supervisor knows what it means.
Done grant(Overlay& fs, Request& request, std::string_view name, NewFile what, DeviceWish& wish) {
  what.device = wish.device;
  auto made = fs.create(request.node, name, what, caller_of(fs, request));
  if (!made) return tl::make_unexpected(made.error());
  Pin unused(fs.nodes(), made->node);  // dies with it, as the kernel has not got it
  wish.granted = true;
  return base::fail(EEXIST);
}
}  // namespace

Done on_mknod(Overlay& fs, Request& request, Answer& answer) {
  auto reader = request.reader();
  auto in = reader.take<fuse_mknod_in>();
  auto name = reader.take_string();
  if (!name) return base::fail(kMalformed);
  NewFile what{.mode = in->mode, .umask = in->umask, .rdev = to_device(in->rdev), .target = {}};
  if ((what.mode & S_IFMT) == 0) what.mode |= S_IFREG;
  if (S_ISDIR(what.mode) || S_ISLNK(what.mode)) return base::fail(kMalformed);
  if (S_ISREG(what.mode) && fs.wishes)
    if (DeviceWish* wish = fs.wishes->find(fs, request.node->id, *name))
      return grant(fs, request, *name, what, *wish);
  return answer_entry(fs, fs.create(request.node, *name, what, caller_of(fs, request)), answer);
}

Done on_mkdir(Overlay& fs, Request& request, Answer& answer) {
  auto reader = request.reader();
  auto in = reader.take<fuse_mkdir_in>();
  auto name = reader.take_string();
  if (!name) return base::fail(kMalformed);
  NewFile what{.mode = S_IFDIR | (in->mode & 07777), .umask = in->umask, .rdev = 0, .target = {}};
  return answer_entry(fs, fs.create(request.node, *name, what, caller_of(fs, request)), answer);
}

Done on_unlink(Overlay& fs, Request& request, Answer&) {
  auto name = request.reader().take_string();
  if (!name) return base::fail(kMalformed);
  return fs.unlink(request.node, *name);
}

Done on_rmdir(Overlay& fs, Request& request, Answer&) {
  auto name = request.reader().take_string();
  if (!name) return base::fail(kMalformed);
  return fs.rmdir(request.node, *name);
}

namespace {
ring::Task<Done> rename(Overlay& fs, Request& request, base::Reader reader, NodeId to,
                        unsigned flags) {
  auto name = reader.take_string();
  auto new_name = reader.take_string();
  Node* new_parent = fs.nodes().find(to);
  if (!name || !new_name || !new_parent) co_return base::fail(kMalformed);
  Pin from(fs.nodes(), request.node), into(fs.nodes(), new_parent);
  CO_TRY_VOID(fs.awaken(new_parent));
  co_return co_await fs.rename(request.node, std::string(*name), new_parent, std::string(*new_name),
                               flags, request.unique());
}
}  // namespace

ring::Task<Done> on_rename(Overlay& fs, Request& request, Answer&) {
  auto reader = request.reader();
  auto in = reader.take<fuse_rename_in>();
  co_return co_await rename(fs, request, reader, in->newdir, 0);
}

ring::Task<Done> on_rename2(Overlay& fs, Request& request, Answer&) {
  auto reader = request.reader();
  auto in = reader.take<fuse_rename2_in>();
  co_return co_await rename(fs, request, reader, in->newdir, in->flags);
}

ring::Task<Done> on_link(Overlay& fs, Request& request, Answer& answer) {
  auto reader = request.reader();
  auto in = reader.take<fuse_link_in>();
  auto name = reader.take_string();
  Node* source = fs.nodes().find(in->oldnodeid);
  if (!name || !source) co_return base::fail(kMalformed);
  Pin parent(fs.nodes(), request.node), linked(fs.nodes(), source);
  CO_TRY_VOID(fs.awaken(source));
  auto entry = co_await fs.link(source, request.node, std::string(*name), request.unique());
  if (fs.ledger()) fs.ledger()->answering(request.unique());
  co_return answer_entry(fs, std::move(entry), answer);
}

Done again_nothing(Overlay&, Request&, Answer&) {
  return base::Unit{};
}

Done again_entry(Overlay& fs, Request& request, Answer& answer) {
  auto reader = request.reader();
  auto name = reader.take_bytes(kOps[request.header.opcode].name_at)
                  ? reader.take_string()
                  : std::optional<std::string_view>();
  if (!name) return base::fail(kMalformed);
  return answer_entry(fs, fs.lookup(request.node, *name), answer);
}

}  // namespace fusefs
