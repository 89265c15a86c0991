#include "runtime/invocation.hpp"

namespace oci {
namespace {

using Words = std::span<const char* const>;

/// An option with a value. Those that have none need no row.
struct Option {
  std::string_view name;
  char letter = 0;
  std::string Invocation::*kept = nullptr;
  std::vector<std::string> Invocation::*collected = nullptr;
};

// crun 1.8 and runc 1.1, in one table each: none of the names means two things.
constexpr Option kGlobal[] = {
    {"cgroup-manager"},
    {"criu"},
    {"log", 0, &Invocation::log},
    {"log-format", 0, &Invocation::log_format},
    {"root", 0, &Invocation::root},
    {"rootless"},
};
constexpr Option kStart[] = {
    {"bundle", 'b', &Invocation::bundle},
    {"config", 'f', &Invocation::config},
    {"console-socket"},
    {"pid-file"},
    {"pidfd-socket"},
    {"preserve-fds"},
};
constexpr Option kExec[] = {
    {"additional-gids", 'g', nullptr, &Invocation::groups},
    {"apparmor"},
    {"cap", 'c'},
    {"cgroup"},
    {"console-socket"},
    {"cwd"},
    {"env", 'e'},
    {"pid-file"},
    {"pidfd-socket"},
    {"preserve-fds"},
    {"process", 'p', &Invocation::process},
    {"process-label"},
    {"user", 'u', &Invocation::user},
};

std::span<const Option> options_of(const std::string& verb) {
  if (verb.empty()) return kGlobal;
  if (verb == "create" || verb == "run") return kStart;
  if (verb == "exec") return kExec;
  return {};
}

// getopt_long takes a beginning of a name, if it is of one option only.
const Option* by_name(std::span<const Option> options, std::string_view name) {
  const Option* meant = nullptr;
  for (const Option& option : options) {
    if (option.name == name) return &option;
    if (!option.name.starts_with(name)) continue;
    if (meant) return nullptr;
    meant = &option;
  }
  return meant;
}

const Option* by_letter(std::span<const Option> options, char letter) {
  for (const Option& option : options)
    if (option.letter == letter) return &option;
  return nullptr;
}

class Reader {
 public:
  explicit Reader(Words words) : words_(words) {}

  Invocation read() {
    while (at_ < words_.size() && !done_) {
      std::string_view word = words_[at_++];
      if (!only_words_ && word == "--") {
        only_words_ = true;
      } else if (!only_words_ && word.size() > 1 && word.starts_with('-')) {
        option(word);
      } else {
        plain(word);
      }
    }
    return std::move(found_);
  }

 private:
  void plain(std::string_view word) {
    if (found_.verb.empty()) {
      found_.verb = word;
      only_words_ = false;
    } else if (found_.id.empty()) {
      found_.id = word;
      done_ = !found_.starts();  // what follows is a command, a signal, ...
    }
  }

  // --name VALUE, --name=VALUE, and as Go has it -name VALUE; -n VALUE, -nVALUE.
  void option(std::string_view word) {
    auto options = options_of(found_.verb);
    bool two = word.starts_with("--");
    std::string_view name = word.substr(two ? 2 : 1), value;
    std::size_t equals = name.find('=');
    bool given = equals != name.npos;
    if (given) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    }
    const Option* option = nullptr;
    if (!two) option = by_letter(options, name.empty() ? '\0' : name[0]);
    if (option && name.size() > 1 && !is_name(options, name)) {  // -bVALUE
      keep(*option, word.substr(2));
      return;
    }
    if (!option || name.size() > 1) option = by_name(options, name);
    if (!option) {
      found_.debug |= found_.verb.empty() && name == "debug";
      return;
    }
    if (!given && at_ < words_.size()) value = words_[at_++];
    keep(*option, value);
  }

  static bool is_name(std::span<const Option> options, std::string_view name) {
    for (const Option& option : options)
      if (option.name == name) return true;
    return false;
  }

  void keep(const Option& option, std::string_view value) {
    if (option.kept) found_.*option.kept = value;
    if (option.collected) (found_.*option.collected).emplace_back(value);
  }

  Words words_;
  std::size_t at_ = 0;
  bool only_words_ = false, done_ = false;
  Invocation found_;
};

}  // namespace

std::string Invocation::config_path() const {
  return config.starts_with('/') ? config : bundle + "/" + config;
}

Invocation read_invocation(Words words) {
  return Reader(words).read();
}

}  // namespace oci
