// Owns: what the verb plan has found out, and its forms: text for people, JSON, flags for podman.
// Called by: cli/plan_verb. Never: reads an image or assigns a slot.
#pragma once
#include <string>
#include <vector>

#include "cli/planning.hpp"
#include "identity/pool.hpp"
#include "images/found.hpp"

namespace cli {

struct PlanReport {
  struct Source {
    std::string name, kind;
    unsigned layers = 0, from_cache = 0;
  };
  std::vector<Source> sources;
  images::FoundIds found;
  Planned planned;
  identity::Pool uids = identity::Pool::full(), gids = identity::Pool::full();
  identity::Rule rule = identity::Rule::wide;
  identity::Window window;
  std::string annotation;  // what a pod's should say; empty: no pod among the sources

  /// A sentence about ids that must be mapped and are not; empty: all are.
  std::string unmapped() const;
  std::string text() const;
  std::string json() const;
  /// `--uidmap 0:0:1 … --gidmap …` for podman, whose second number counts in its own namespace.
  std::string podman() const;
};

}  // namespace cli
