#include "cli/run.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>

#include "cli/mount_program.hpp"
#include "cli/runtime_verb.hpp"
#include "cli/verbs.hpp"
#include "config/mount_options.hpp"

namespace cli {
namespace {

using Words = std::span<const char* const>;

// Under another program's name we are that program: `mount.TYPE` of mount(8), fuse-overlayfs.
bool is_our_name(std::string_view program) {
  return !program.starts_with("mount.") && !program.starts_with("fuse-overlayfs");
}

// Only a mount has -o, and none succeeds without. Behind "--" nothing is an option.
bool has_mount_options(Words words) {
  for (const char* word : words) {
    std::string_view text = word;
    if (text == "--") return false;
    if (text.starts_with("-o")) return true;
  }
  return false;
}

bool asks_for_help(Words words) {
  std::string_view first = words.empty() ? std::string_view() : words.front();
  return words.size() == 1 && (first == "-h" || first == "--help");
}

// No word, an option or a path first is a mount (or will be refused as one). A verb that is given
// another program's words is one whatever these are, unless -o follows at once.
bool is_mount(Words words) {
  if (words.empty()) return true;
  std::string_view first = words.front();
  if (first.empty() || first.starts_with('-') || first.find('/') != first.npos) return true;
  const Verb* verb = find_verb(first);
  bool passes_on = verb && verb->passes_on;
  return has_mount_options(passes_on ? words.first(std::min<std::size_t>(words.size(), 2)) : words);
}

}  // namespace

int run(int argc, const char* const* argv) {
  std::string program = argc > 0 ? argv[0] : "usernetes-identity";
  program = program.substr(program.rfind('/') + 1);
  Words words(argv + (argc > 0 ? 1 : 0), static_cast<std::size_t>(argc > 0 ? argc - 1 : 0));
  if (!is_our_name(program)) return mount_program(program, words);
  // Another program's command line: nothing in it is ours to understand, --help and -o included.
  if (program == kRuntimeProgram) return runtime_program(words);
  if (!words.empty() && std::string_view(words.front()) == "runtime" &&
      !asks_for_help(words.subspan(1)))
    return runtime_program(words.subspan(1));
  if (asks_for_help(words)) {
    std::fputs((config::mount_help() + verbs_help()).c_str(), stdout);
    return kDone;
  }
  if (is_mount(words)) return mount_program(program, words);
  const Verb* verb = find_verb(words.front());
  return verb ? run_verb(*verb, words.subspan(1)) : refuse_verb(words.front());
}

}  // namespace cli
