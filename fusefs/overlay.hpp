// Owns: one merged tree: layers, nodes, open files and the rules by which layers become one.
// Called by: the handlers (ops_*.cpp), one for each protocol operation. Never: speaks the wire
// protocol, and never lets a name lead out of a layer. The methods stand in files by family:
// lookup, listing, create, remove, rename, copy_up, attributes.
#pragma once
#include <sys/stat.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "fusefs/device_wishes.hpp"
#include "fusefs/dirfd_cache.hpp"
#include "fusefs/handles.hpp"
#include "fusefs/id_mapper.hpp"
#include "fusefs/layer.hpp"
#include "fusefs/ledger.hpp"
#include "fusefs/listing.hpp"
#include "fusefs/node_table.hpp"
#include "fusefs/options.hpp"
#include "fusefs/owner_store.hpp"
#include "fusefs/work_dir.hpp"
#include "ring/at.hpp"
#include "ring/fs_ops.hpp"
#include "ring/task.hpp"

namespace fusefs {

/// A node with a fresh stat of its top version (owner and mode still those of the disk).
struct Entry {
  Node* node = nullptr;
  struct stat st {};
};

/// Who asks: the truth behind the ids that the kernel sent.
struct Caller {
  Owner owner;
  bool privileged = false;  // root of the mount's namespace
  pid_t pid = 0;            // as the mounter's pid namespace numbers it; 0: not in it
};

/// Descriptors that somebody has kept for us, by the names we gave them.
using Kept = std::map<std::string, base::Fd>;

/// What a creating call asks for. mode with S_IFMT; umask not yet applied.
struct NewFile {
  mode_t mode = 0;
  mode_t umask = 0;
  dev_t rdev = 0;
  std::string target;                           // of a symlink
  std::optional<identity::Device> device = {};  // what a regular file shall stand for
};

struct Counters {
  std::uint64_t copy_ups = 0;
  std::uint64_t copied_bytes = 0;  // of file data; a clone copies none
  std::uint64_t clones = 0;
  std::uint64_t corrupt_records = 0;
  std::uint64_t whiteouts = 0;

  void merge(const Counters& other) {
    copy_ups += other.copy_ups;
    copied_bytes += other.copied_bytes;
    clones += other.clones;
    corrupt_records += other.corrupt_records;
    whiteouts += other.whiteouts;
  }
};

class Overlay {
 public:
  Overlay(LayerStack stack, IdMapper uids, IdMapper gids, OverlayOptions options,
          ring::Reactor& reactor);
  /// Leaves the ledger as it is: a daemon may go, and its mount stay.
  ~Overlay();

  // --- look-up (lookup.cpp, merge.cpp) ---
  /// The entry `name` of `parent`, ENOENT if no layer shows it. The kernel's count is not raised.
  base::Result<Entry> lookup(Node* parent, std::string_view name);
  base::Result<struct stat> stat(Node* node, const OpenFile* file = nullptr);
  /// `st` with owner, mode, inode number and link count as the kernel shall see them.
  struct stat present(const Node& node, struct stat st) const;

  // --- creation (create.cpp) ---
  base::Result<Entry> create(Node* parent, std::string_view name, const NewFile& what,
                             const Caller& caller, base::Fd* opened = nullptr);
  base::Result<Entry> create_unnamed(Node* parent, const NewFile& what, const Caller& caller,
                                     base::Fd* opened);
  /// `unique`: of the request, here and below, where it may have waited by then.
  ring::Task<base::Result<Entry>> link(Node* node, Node* parent, std::string name,
                                       std::uint64_t unique = 0);

  // --- removal and rename (remove.cpp, rename.cpp) ---
  base::Result<> unlink(Node* parent, std::string_view name);
  base::Result<> rmdir(Node* parent, std::string_view name);
  /// `flags`: RENAME_NOREPLACE or RENAME_EXCHANGE; any other is EINVAL.
  ring::Task<base::Result<>> rename(Node* parent, std::string name, Node* new_parent,
                                    std::string new_name, unsigned flags, std::uint64_t unique = 0);

  // --- content (copy_up.cpp, files.cpp) ---
  /// Brings the node into the upper layer. At most `size` bytes of data are copied.
  ring::Task<base::Result<>> copy_up(Node* node, std::uint64_t size = UINT64_MAX);
  /// Whether nobody waits any more for a copy-up of this node; asked between its chunks.
  std::function<bool(const Node*)> given_up;
  bool in_upper(const Node* node) const { return stack_.writable && node->layer == 0; }
  base::Result<std::shared_ptr<OpenFile>> open(Node* node, int flags);
  /// Whether the kernel has been told that it may open files without asking.
  bool opens_unasked = false;
  /// Whether it tells the times of files, and we only keep them for it: write-back cache.
  bool times_in_kernel = false;
  /// Whether it may be told so (ADR 10): we can open every file of the layers when it comes to it.
  bool can_open_later() const;
  /// A file that it has opened so.
  base::Result<std::shared_ptr<OpenFile>> unannounced(Node* node, bool writes);
  void keep_unannounced(std::shared_ptr<OpenFile> file) { unannounced_.put(std::move(file)); }
  std::size_t unannounced() const { return unannounced_.size(); }
  /// It forgets the node, and so nobody has it open.
  void drop_unannounced(NodeId node) { unannounced_.drop(node); }
  base::Result<std::shared_ptr<Listing>> list(Node* dir);

  /// The namespaces of whoever mounted us, as namespaces_of() has them; "": not known.
  std::string mounted_in;
  /// Whether a thread is shown true owners by other means; not set: none is.
  std::function<bool(std::uint32_t pid)> knows_owners;
  /// Of device nodes that the supervisor lets tasks make; nullptr: there is none.
  DeviceWishes* wishes = nullptr;

  // --- attributes (attributes.cpp) ---
  base::Result<> set_owner(Node* node, Owner owner, const Caller& caller);
  base::Result<> set_mode(Node* node, mode_t mode);
  base::Result<> set_times(Node* node, const timespec times[2]);
  /// What a write, truncate or chown by somebody without CAP_FSETID does to set-id bits and
  /// capabilities. `keep_lock_bit`: set-group-id without group execute stays.
  base::Result<> drop_privileges(Node* node, bool keep_lock_bit);
  /// Whether the caller is root, or its group or a supplementary group is the file's.
  bool in_group(const Node& node, const Caller& caller) const;
  /// Descriptor-free reach of the node's top version, for xattr calls.
  base::Result<ring::at::Where> locate(Node* node);

  // --- with a ledger (restore.cpp, finish.cpp) ---
  /// From now on all that a successor must know is written down.
  void keep(Ledger* ledger);
  Ledger* ledger() { return ledger_; }
  struct Restored {
    std::size_t nodes = 0, handles = 0;
  };
  /// Tells these layers apart from others.
  std::uint64_t tell_layers() const;
  /// Nodes and handles as the ledger has them; a change that was under way is found out about.
  Restored restore(Kept kept);
  /// What a restored node is, from disk. To be called before anything else is done with it.
  base::Result<> awaken(Node* node);
  /// A restored file is opened when it is first used.
  base::Result<> reopen(OpenFile& file);
  /// A count that an earlier process got too high keeps nobody's descriptor: asks whether the
  /// kernel still knows a node that has no name and is not open.
  void reconsider(Node* node);
  std::function<bool(NodeId)> kernel_knows;
  /// Takes descriptors of files without name into keeping, and out of it again.
  std::function<void(const std::string& name, int fd)> keep_descriptor;
  std::function<void(const std::string& name)> drop_descriptor;

  NodeTable& nodes() { return nodes_; }
  Handles& handles() { return handles_; }
  Listings& listings() { return listings_; }
  const IdMapper& uids() const { return uids_; }
  const IdMapper& gids() const { return gids_; }
  const OverlayOptions& options() const { return options_; }
  const LayerStack& stack() const { return stack_; }
  ring::FileIo& io() { return io_; }
  const Counters& counters() const { return counters_; }
  /// Directory descriptors kept open.
  std::size_t dirfds() const { return dirfds_.size(); }
  /// Descriptor of the node's version in a layer (O_PATH). Not to be kept over a co_await.
  base::Result<int> dir_fd(Node* dir, LayerIndex layer);
  /// Called with (what, node id) when a record on disk was not believed.
  std::function<void(const std::string&)> on_corrupt;

 private:
  friend class Merge;
  struct Found;

  base::Result<base::Fd> open_version(Node* dir, LayerIndex layer, int above);
  base::Result<Node*> adopt(Node* parent, std::string_view name, Found& found);
  void fill(Node* node, Found& found);
  void take_facts(Node* node, const struct stat& st, const Facts& facts);
  std::uint64_t present_ino(LayerIndex layer, ino_t ino) const;
  base::Result<> check_name(std::string_view name) const;
  /// Whether a layer below the upper one shows `name` in this directory.
  base::Result<bool> lower_has(Node* parent, std::string_view name);
  /// Path of a directory's version from its layer's root, with a slash at its end ("" for the
  /// root).
  std::string path_in_layer(Node* dir, LayerIndex layer);
  /// Where this directory's lower versions are in the tree that the lower layers make together.
  std::string path_in_lowers(Node* dir);

  // whiteouts.cpp
  void scan_hidden(Node* dir, LayerDir& version);
  bool hides(Node* dir, LayerDir& version, std::string_view name);
  bool may_have_sidecar(Node* dir, LayerDir& version);
  base::Result<> make_whiteout_file(Node* parent, std::string_view name);
  void drop_whiteout_file(Node* parent, std::string_view name);
  base::Result<> mark_opaque(const ring::at::Where& dir);
  void note_sidecar(Node* parent);
  void move_sidecar(Node* parent, std::string_view name, Node* new_parent,
                    std::string_view new_name);

  // create.cpp
  base::Result<> ensure_upper(Node* dir);
  base::Result<> make_at(const ring::at::Where& where, const NewFile& what, mode_t mode,
                         base::Fd* opened);
  base::Result<> make_over_whiteout(Node* parent, int dir, const std::string& name,
                                    const NewFile& what, mode_t mode, Owner owner,
                                    base::Fd* opened);
  base::Result<struct stat> dress(const ring::at::Where& where, const NewFile& what, mode_t mode,
                                  Owner owner);
  Entry register_new(Node* parent, std::string_view name, const struct stat& st, Owner owner,
                     const NewFile& what);
  void share_sidecar(Node* node, const ring::at::Where& from, Node* parent,
                     const std::string& name);
  base::Result<> link_over_whiteout(const ring::at::Where& from, int dir, const std::string& name);
  Owner new_owner(const Node& parent, const Caller& caller) const;
  mode_t new_mode(const Node& parent, const NewFile& what, const Caller& caller) const;

  // attributes.cpp
  base::Result<> write_override(const Node& node, const ring::at::Where& where, mode_t mode);

  // restore.cpp
  std::uint64_t request_now() const { return ledger_ ? ledger_->current() : 0; }
  void restore_nodes(Restored& all);
  void restore_names();
  void restore_handles(Restored& all);
  void cut_loops();
  void settle_orphans(Kept& kept);
  base::Result<> wake(Node* node);
  void keep_descriptor_of(Node* node);
  void lose_orphan(Node* node);
  static bool is_open(const Node& node);
  void replace_orphan(Node* node, base::Fd fd);

  // finish.cpp: the change that was being made when an earlier process died
  bool contested(const Ledger::FoundName& name) const;
  void finish_change();
  void stand(Node* node, Node* parent, const std::string& name);
  int upper_fd(Node* parent);
  Verdict finish_create(const layout::Intent& intent);
  Verdict finish_link(const layout::Intent& intent);
  Verdict finish_remove(const layout::Intent& intent);
  Verdict finish_rename(const layout::Intent& intent);
  void finish_sidecars(const layout::Intent& intent, Node* parent, Node* new_parent);

  // remove.cpp
  base::Result<> keep_orphan(Node* node);
  void lose_name(Node* node, Node* parent, std::string_view name);
  base::Result<bool> is_empty(Node* dir);
  base::Result<> discard_lone_dir(Node* node, Node* parent, const std::string& name);
  base::Result<> whiteout_over(Node* parent, int dir, const std::string& name, bool exists);
  base::Result<> discard_upper_dir(Node* parent, int dir, const std::string& name, bool whiteout);

  // rename.cpp
  struct Move;
  base::Result<> check_move(Move& move);
  base::Result<> prepare_directory(Move& move, Node* node, bool target_in_lower);
  base::Result<> execute(Move& move);
  base::Result<> execute_over_dir(Move& move);
  void settle(Move& move);
  void swap_sidecars(Node* parent, const std::string& name, Node* other,
                     const std::string& other_name);
  std::uint64_t sidecar_ino(Node* parent, const std::string& name);
  base::Result<> carry_out(Move& move, std::uint64_t unique);
  base::Result<> announce(const Move& move, std::uint64_t unique, Plan& plan);
  base::Result<> set_redirect(Node* node);
  ring::Task<base::Result<>> copy_up_tree(Node* dir);

  // copy_up.cpp
  struct CopyJob;
  base::Result<> copy_up_dir(Node* dir);
  base::Result<> copy_up_special(Node* node);
  ring::Task<base::Result<>> copy_up_file(Node* node, std::uint64_t size);
  base::Result<bool> copy_small(int from, int to, std::uint64_t size);
  ring::Task<base::Result<>> copy_data(Node* node, int from, int to, std::uint64_t size);
  base::Result<> copy_identity(Node* node, const ring::at::Where& from, const struct stat& st,
                               const ring::at::Where& to, mode_t made, mode_t type);
  base::Result<> copy_xattrs(const ring::at::Where& from, const ring::at::Where& to);
  base::Result<> place(Node* node, const std::string& temporary, const struct stat& source);
  void moved_up(Node* node, const struct stat& source);

  LayerStack stack_;
  IdMapper uids_, gids_;
  OverlayOptions options_;
  OwnerStore owners_;
  Listings listings_;  // before the nodes, whose death it is told of
  NodeTable nodes_;
  Handles handles_;
  Unannounced unannounced_;
  DirfdCache dirfds_;
  WorkDir work_;
  Ledger* ledger_ = nullptr;
  ring::FileIo io_;
  Counters counters_;
  bool can_clone_ = true;  // FICLONE between the layers has not been refused yet
};

}  // namespace fusefs
