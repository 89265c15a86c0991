// Owns: reading the ids that Kubernetes YAML asks for: pods, deployments, lists, several documents.
// Called by: images/image. Never: builds the document in memory (an alias is a word here, not what
// it stands for), or reads more than 4 MiB of it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "images/found.hpp"

namespace images {

/// Lists ids for all processes of a pod, as --id does for a container.
inline constexpr std::string_view kIdsAnnotation = "org.usernetes.identity.ids";

struct PodIds {
  FoundIds found;
  std::vector<std::string> images;  // that it names, at most 50
};
/// runAsUser, runAsGroup, fsGroup, supplementalGroups and the annotation, wherever they stand.
/// `where` begins each message, the line follows.
base::Checked<PodIds> parse_pod(std::string_view yaml, const std::string& where);

}  // namespace images
