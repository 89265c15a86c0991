// Whiteouts, opaque marks and sidecars: the `.wh.` names of a layer's directory, read once and then
// kept.
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "fusefs/overlay.hpp"

namespace fusefs {

namespace at = ring::at;

namespace {
// A directory larger than this is asked for single names instead of being read through.
constexpr std::size_t kScanLimit = 4096;
}  // namespace

void Overlay::scan_hidden(Node* dir, LayerDir& version) {
  HiddenNames& hidden = version.hidden;
  hidden.state = HiddenNames::State::probe;
  hidden.sidecars = true;
  auto path = dir_fd(dir, version.layer);
  if (!path) return;
  auto fd = at::open({*path, "."}, O_RDONLY | O_DIRECTORY);
  if (!fd) return;
  std::set<std::string, std::less<>> names;
  bool sidecars = false;
  std::size_t seen = 0;
  auto done = at::for_each_entry(fd->get(), [&](const at::Entry& entry) {
    if (entry.name.starts_with(kSidecarPrefix)) {
      sidecars = true;
    } else if (entry.name.starts_with(kWhiteoutPrefix)) {
      names.emplace(entry.name.substr(kWhiteoutPrefix.size()));
    }
    return ++seen < kScanLimit;
  });
  if (!done || seen >= kScanLimit) return;
  hidden.sidecars = sidecars;
  hidden.state = names.empty() ? HiddenNames::State::none : HiddenNames::State::listed;
  if (!names.empty())
    hidden.whiteouts = std::make_unique<std::set<std::string, std::less<>>>(std::move(names));
}

bool Overlay::hides(Node* dir, LayerDir& version, std::string_view name) {
  if (version.hidden.state == HiddenNames::State::unknown) scan_hidden(dir, version);
  switch (version.hidden.state) {
    case HiddenNames::State::unknown:
    case HiddenNames::State::none: return false;
    case HiddenNames::State::listed: return version.hidden.whiteouts->contains(name);
    case HiddenNames::State::probe: break;
  }
  auto fd = dir_fd(dir, version.layer);
  if (!fd || name.size() + kWhiteoutPrefix.size() > 255) return false;
  return at::stat({*fd, std::string(kWhiteoutPrefix).append(name)}).has_value();
}

bool Overlay::may_have_sidecar(Node* dir, LayerDir& version) {
  if (version.hidden.state == HiddenNames::State::unknown) scan_hidden(dir, version);
  return version.hidden.sidecars;
}

void Overlay::note_sidecar(Node* parent) {
  if (LayerDir* upper = parent->in_layer(0)) upper->hidden.sidecars = true;
}

// Follows its entry after that was renamed. A failure leaves a sidecar that its entry's disk owner
// disowns.
void Overlay::move_sidecar(Node* parent, std::string_view name, Node* new_parent,
                           std::string_view new_name) {
  auto from = dir_fd(parent, 0);
  auto to = dir_fd(new_parent, 0);
  if (!from || !to) return;
  std::string old_name = OwnerStore::sidecar_name(name);
  if (::renameat(*from, old_name.c_str(), *to, OwnerStore::sidecar_name(new_name).c_str()) == 0)
    note_sidecar(new_parent);
}

base::Result<> Overlay::make_whiteout_file(Node* parent, std::string_view name) {
  if (name.size() + kWhiteoutPrefix.size() > 255) return base::fail(ENAMETOOLONG);
  TRY(dir, dir_fd(parent, 0));
  auto made = at::open({dir, std::string(kWhiteoutPrefix).append(name)}, O_WRONLY | O_CREAT, 0600);
  if (!made) return tl::make_unexpected(made.error());
  if (LayerDir* upper = parent->in_layer(0)) {
    HiddenNames& hidden = upper->hidden;
    if (hidden.state == HiddenNames::State::unknown) scan_hidden(parent, *upper);
    if (hidden.state == HiddenNames::State::none) {
      hidden.state = HiddenNames::State::listed;
      hidden.whiteouts = std::make_unique<std::set<std::string, std::less<>>>();
    }
    if (hidden.whiteouts) hidden.whiteouts->emplace(name);
  }
  return base::Unit{};
}

void Overlay::drop_whiteout_file(Node* parent, std::string_view name) {
  LayerDir* upper = parent->in_layer(0);
  if (!upper || !hides(parent, *upper, name)) return;
  auto dir = dir_fd(parent, 0);
  if (!dir) return;
  ::unlinkat(*dir, std::string(kWhiteoutPrefix).append(name).c_str(), 0);
  if (upper->hidden.whiteouts) upper->hidden.whiteouts->erase(std::string(name));
}

base::Result<> Overlay::mark_opaque(const at::Where& dir) {
  switch (stack_.opaque) {
    case OpaqueForm::trusted: return at::set_xattr(dir, "trusted.overlay.opaque", "y");
    case OpaqueForm::fuseoverlayfs: return at::set_xattr(dir, "user.fuseoverlayfs.opaque", "y");
    case OpaqueForm::automatic:
    case OpaqueForm::user: return at::set_xattr(dir, "user.overlay.opaque", "y");
    case OpaqueForm::file: break;
  }
  TRY(fd, at::open(dir, O_PATH | O_DIRECTORY));
  auto made = at::open({fd.get(), std::string(kOpaqueFile)}, O_WRONLY | O_CREAT, 0600);
  if (!made) return tl::make_unexpected(made.error());
  return base::Unit{};
}

}  // namespace fusefs
