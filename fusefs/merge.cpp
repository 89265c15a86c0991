#include "fusefs/merge.hpp"

#include <fcntl.h>

namespace fusefs {

namespace at = ring::at;

namespace {
constexpr unsigned kRedirectDepth = 16;  // redirects inside redirected paths; more is a loop

LayerDir version_in(LayerIndex layer, std::shared_ptr<const std::string> path = nullptr) {
  LayerDir version;
  version.layer = layer;
  version.path = std::move(path);
  return version;
}
}  // namespace

bool Merge::opaque_file(const at::Where& where) const {
  std::string inside =
      where.name == "." ? std::string(kOpaqueFile) : where.name + "/" + std::string(kOpaqueFile);
  return at::stat({where.dir, inside}).has_value();
}

Merge::Step Merge::visit_dir(Walk& walk, const at::Where& where, LayerIndex layer, bool last,
                             const Facts& facts) {
  std::shared_ptr<const std::string> path;
  if (walk.renamed)
    path = std::make_shared<std::string>(fs_.path_in_layer(walk.parent, layer) + walk.name);
  walk.found.versions.push_back(version_in(layer, std::move(path)));
  bool redirected = !facts.redirect.empty() && fs_.options_.redirect_follow;
  // `last`: the parent has no more versions. A redirect may still lead to some elsewhere.
  if (facts.opaque || (last && !redirected) || opaque_file(where)) return Step::stop;
  if (!redirected) return Step::next_layer;
  if (facts.redirect.front() == '/') {
    follow(static_cast<LayerIndex>(layer + 1), facts.redirect, 0, walk.found.versions);
    return Step::stop;
  }
  walk.name = facts.redirect;
  walk.renamed = true;
  return Step::next_layer;
}

Merge::Step Merge::visit(Walk& walk, LayerDir& version, bool last) {
  auto dir = fs_.dir_fd(walk.parent, version.layer);
  if (!dir) {
    walk.error = dir.error();
    return Step::stop;
  }
  const std::string name = walk.name;
  at::Where where{*dir, name};
  auto st = at::stat(where);
  if (!st) {
    if (st.error().value != ENOENT && !walk.any) {
      walk.error = st.error();
      return Step::stop;
    }
    return fs_.hides(walk.parent, version, name) ? Step::stop : Step::next_layer;
  }
  if (is_whiteout(*st)) return Step::stop;
  bool directory = S_ISDIR(st->st_mode);
  if (walk.any && !directory) return Step::stop;  // hidden below a directory
  Facts facts;
  bool bottom = version.layer + 1u == fs_.stack_.layers.size();
  if (!walk.any || !bottom) {
    bool sidecar =
        OwnerStore::is_special(st->st_mode) && fs_.may_have_sidecar(walk.parent, version);
    facts = fs_.owners_.read(where, *st, sidecar);
  }
  if (facts.error) {
    walk.error = base::Errno{facts.error};
    return Step::stop;
  }
  if (!walk.any) {
    walk.any = true;
    walk.found.layer = version.layer;
    walk.found.st = *st;
    walk.found.facts = facts;
    if (!directory) return Step::stop;
  }
  if (visit_dir(walk, where, version.layer, last, facts) == Step::stop) return Step::stop;
  return fs_.hides(walk.parent, version, name) ? Step::stop : Step::next_layer;
}

base::Result<Overlay::Found> Merge::entry(Node* parent, std::string_view name) {
  if (!parent->dir) return base::fail(ENOTDIR);
  Walk walk{parent, std::string(name), false, false, {}, {}};
  auto& versions = parent->dir->layers;
  for (std::size_t i = 0; i < versions.size(); ++i)
    if (visit(walk, versions[i], i + 1 == versions.size()) == Step::stop) break;
  if (walk.error.value) return tl::make_unexpected(walk.error);
  if (!walk.any) return base::fail(ENOENT);
  return std::move(walk.found);
}

base::Result<Overlay::Found> Merge::root() {
  Walk walk{fs_.nodes_.root(), "", false, true, {}, {}};
  auto& layers = fs_.stack_.layers;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    at::Where where{layers[i].root.get(), "."};
    TRY(st, at::stat(where));
    Facts facts = fs_.owners_.read(where, st, false);
    if (facts.error) return base::fail(facts.error);
    if (i == 0) {
      walk.found.st = st;
      walk.found.facts = facts;
    }
    facts.redirect.clear();  // the root is where it is
    bool last = i + 1 == layers.size();
    if (visit_dir(walk, where, static_cast<LayerIndex>(i), last, facts) == Step::stop) break;
  }
  return std::move(walk.found);
}

void Merge::follow(LayerIndex first, std::string_view path, unsigned depth,
                   std::vector<LayerDir>& versions) {
  if (depth > kRedirectDepth) return;
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= path.size();) {
    std::size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) parts.emplace_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  // Per layer the path so far; a redirect met on the way sends the layers below along another one.
  for (LayerIndex layer = first; layer < fs_.stack_.layers.size(); ++layer) {
    std::string walked;
    bool present = true, stop = false;
    std::string redirect;
    std::string remaining;
    base::Fd here;  // one name at a time: an image decides how long the path is
    for (std::size_t i = 0; i < parts.size() && present; ++i) {
      int dir = here.valid() ? here.get() : fs_.stack_.layers[layer].root.get();
      walked = walked.empty() ? parts[i] : walked + "/" + parts[i];
      at::Where where{dir, parts[i]};
      auto st = at::stat(where);
      bool covered = at::stat({dir, std::string(kWhiteoutPrefix) + parts[i]}).has_value();
      stop |= covered;
      if (!st || !S_ISDIR(st->st_mode)) {
        present = false;
        stop |= st.has_value();  // a file or whiteout hides what lies below
        break;
      }
      Facts facts = fs_.owners_.read(where, *st, false);
      stop |= facts.opaque || opaque_file(where);
      if (!facts.redirect.empty() && redirect.empty() && !stop) {
        std::size_t above = walked.size() - parts[i].size();
        bool absolute = facts.redirect.front() == '/';
        redirect = absolute ? facts.redirect : "/" + walked.substr(0, above) + facts.redirect;
        for (std::size_t j = i + 1; j < parts.size(); ++j) remaining += "/" + parts[j];
      }
      auto next = at::open(where, O_PATH | O_DIRECTORY);
      if (!next) {
        present = false;
        break;
      }
      here = std::move(*next);
    }
    if (present) versions.push_back(version_in(layer, std::make_shared<std::string>(walked)));
    if (stop) return;
    if (!redirect.empty())
      return follow(static_cast<LayerIndex>(layer + 1), redirect + remaining, depth + 1, versions);
  }
}

}  // namespace fusefs
