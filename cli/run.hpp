// Owns: the choice of a verb by the first word. Called by: main. Never: does a verb's work.
#pragma once

namespace cli {
/// The whole program; returns its exit code.
int run(int argc, const char* const* argv);
}  // namespace cli
