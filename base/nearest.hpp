// Owns: guessing which of some names somebody meant who wrote another. Called by: cli (verbs),
// config (keys). Never: decides anything; its answer is for a message.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace base {

/// The name that differs from `word` by the fewest inserted, left out, changed or swapped letters;
/// empty if none is near (a third of the letters, at least one). The first of several equals.
std::string nearest(std::string_view word, std::span<const std::string_view> names);

}  // namespace base
