#include "images/oci.hpp"

#include <algorithm>

#include "images/manifests.hpp"

namespace images {
namespace {

constexpr std::size_t kMostDocuments = 64;

class Follower {
 public:
  Follower(const Fetch& fetch, const std::string& name) : fetch_(fetch), name_(name) {}

  base::Checked<base::Unit> take(const std::string& path) {
    if (++documents_ > kMostDocuments)
      return base::refuse(name_ + ": refers to more than 64 manifests");
    TRY(document, read(path));
    if (document.manifests.empty()) return take_image(document);
    return take_all(std::move(document.manifests));
  }

  base::Checked<base::Unit> take_all(std::vector<OciReference> references) {
    const bool ours = std::any_of(references.begin(), references.end(),
                                  [](const auto& one) { return !one.other_platform; });
    for (const OciReference& one : references)
      if (!ours || !one.other_platform) TRY_VOID(take(one.path));
    return base::Unit{};
  }

  base::Checked<OciDocument> read(const std::string& path) {
    TRY(text, fetch_(path));
    return parse_oci(text, name_ + "/" + path);
  }
  std::vector<ImageParts> images() && { return std::move(images_); }

 private:
  base::Checked<base::Unit> take_image(const OciDocument& document) {
    ImageParts parts{document.layers, {}};
    if (!document.config.empty()) {
      TRY(text, fetch_(document.config));
      TRY(user, parse_config_user(text, name_ + "/" + document.config));
      parts.user = std::move(user);
    }
    images_.push_back(std::move(parts));
    return base::Unit{};
  }

  const Fetch& fetch_;
  const std::string& name_;
  std::size_t documents_ = 0;
  std::vector<ImageParts> images_;
};

}  // namespace

base::Checked<std::vector<ImageParts>> follow_index(const Fetch& fetch, const std::string& tag,
                                                    const std::string& name) {
  Follower follower(fetch, name);
  TRY(index, follower.read("index.json"));
  std::string names;
  std::vector<OciReference> wanted;
  for (OciReference& one : index.manifests) {
    if (!one.name.empty()) names += (names.empty() ? "" : ", ") + one.name;
    if (tag.empty() || one.name == tag) wanted.push_back(std::move(one));
  }
  if (wanted.empty())
    return base::refuse(name + ": has no image" +
                        (tag.empty() ? "" : " named \"" + tag + "\"; there is: " + names));
  TRY_VOID(follower.take_all(std::move(wanted)));
  return std::move(follower).images();
}

}  // namespace images
