#include "config/mount_options.hpp"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

#include "config/setting.hpp"
#include "identity/owner_record.hpp"
#include "identity/pool.hpp"

namespace config {
namespace {

using std::string_view;

/// One `name` or `name=value` of the comma list, not unescaped.
struct Option {
  string_view text;
  string_view name;
  string_view value;
  bool has_value = false;
};

std::string shortened(string_view text) {
  if (text.size() > 120) return std::string(text.substr(0, 117)) + "...";
  return std::string(text);
}

base::Checked<> refuse(Option const& option, string_view why) {
  return base::refuse("option " + shortened(option.text) + ": " + std::string(why));
}

bool is_octal(char c, char highest) {
  return c >= '0' && c <= highest;
}

// As libfuse's parser does it: \ooo is a byte, any other \c is c.
std::string unescaped(string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    ++i;
    string_view const digits = text.substr(i, 3);
    if (digits.size() == 3 && is_octal(digits[0], '3') && is_octal(digits[1], '7') &&
        is_octal(digits[2], '7')) {
      out += static_cast<char>((digits[0] - '0') * 64 + (digits[1] - '0') * 8 + (digits[2] - '0'));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

base::Checked<int> integer(Option const& option) {
  if (!option.has_value) return 1;  // `writeback` reads as `writeback=1`
  int value = 0;
  char const* const end = option.value.data() + option.value.size();
  auto const [stop, error] = std::from_chars(option.value.data(), end, value);
  if (error != std::errc{} || stop != end) {
    return tl::make_unexpected(refuse(option, "not an integer").error());
  }
  return value;
}

base::Checked<> set_bool(bool& member, Option const& option) {
  TRY(value, integer(option));
  member = value != 0;
  return base::Unit{};
}

base::Checked<> set_id(std::optional<identity::Id>& member, Option const& option) {
  auto const id = identity::parse_id(option.value);
  if (!id) return refuse(option, "not an id between 0 and 4294967294");
  member = *id;
  return base::Unit{};
}

// A number outside the field's limits is moved to the nearest end, as libfuse does, because callers
// copy these options from other machines. 0 leaves the default.
base::Checked<> set_clamped(Config& c, string_view key, Option const& option) {
  TRY(value, integer(option));
  if (value <= 0) return base::Unit{};
  double clamped = value;
  Config::fields(c, [&](string_view name, auto const&, auto, Allowed const& allowed) {
    if (name == key) clamped = std::clamp(clamped, allowed.min, allowed.max);
  });
  return set_field(c, key, static_cast<std::int64_t>(clamped));
}

base::Checked<> set_lowerdirs(MountOptions& o, Option const& option) {
  o.lowerdirs.clear();
  string_view rest = option.value;
  while (!rest.empty()) {
    std::size_t end = 0;
    while (end < rest.size() && rest[end] != ':') end += rest[end] == '\\' ? 2 : 1;
    end = std::min(end, rest.size());
    string_view const segment = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (segment.empty()) continue;
    if (segment.starts_with("//")) {
      return base::refuse("option lowerdir: " + shortened(segment) +
                          ": plugin layers (//plugin/data/path) are not supported");
    }
    o.lowerdirs.push_back(unescaped(segment));
  }
  return base::Unit{};
}

base::Checked<> set_mapping(std::vector<IdMapLine>& member, Option const& option) {
  std::vector<identity::Id> numbers;
  string_view rest = option.value;
  while (!rest.empty()) {
    string_view const field = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(field.size() + 1, rest.size()));
    if (field.empty()) continue;  // podman writes a leading colon: uidmapping=:0:0:1000
    auto const id = identity::parse_id(field);
    if (!id) {
      // A full map counts 4294967295 ids; as an id the same number is refused by the check below.
      if (field != "4294967295") {
        return refuse(option, "\"" + shortened(field) + "\" is not a number below 2^32");
      }
    }
    numbers.push_back(id.value_or(identity::kNoId));
  }
  if (numbers.size() % 3 != 0) return refuse(option, "not triples DISK:SHOWN:COUNT");

  std::vector<IdMapLine> lines;
  std::vector<identity::Extent> extents;
  for (std::size_t i = 0; i < numbers.size(); i += 3) {
    if (numbers[i] == identity::kNoId) return refuse(option, "4294967295 is not an id");
    lines.push_back({numbers[i], numbers[i + 1], numbers[i + 2]});
    extents.push_back({numbers[i + 1], numbers[i], numbers[i + 2]});
  }
  if (!extents.empty()) {
    auto const pool = identity::Pool::from_extents(std::move(extents));
    if (!pool) return refuse(option, pool.error().message + " (SHOWN DISK COUNT)");
  }
  member = std::move(lines);
  return base::Unit{};
}

base::Checked<> set_xattr_permissions(MountOptions& o, Option const& option) {
  TRY(value, integer(option));
  if (value < 0 || value > 2) return refuse(option, "allowed: 0, 1, 2");
  o.xattr_permissions = value;
  return base::Unit{};
}

// fuse-overlayfs reads this with strtod: "abc" is 0 and means no caching.
base::Checked<> set_timeout(MountOptions& o, Option const& option) {
  double seconds = 0;
  std::from_chars(option.value.data(), option.value.data() + option.value.size(), seconds);
  o.config.fuse.timeout = seconds > 0 ? std::min(seconds, 1e9) : 0;  // NaN becomes 0 too
  return base::Unit{};
}

base::Checked<> set_xino(MountOptions& o, Option const& option) {
  if (option.value == "off") {
    o.xino = Xino::off;
  } else if (option.value == "auto") {
    o.xino = Xino::automatic;
  } else if (option.value == "on") {
    o.xino = Xino::on;
  } else {
    return refuse(option, "allowed: off, auto, on");
  }
  return base::Unit{};
}

// The words of the kernel's overlayfs. "off" still follows, as kernels are built by default.
base::Checked<> set_redirect_dir(MountOptions& o, Option const& option) {
  constexpr std::array<string_view, 4> kWords = {"on", "off", "follow", "nofollow"};
  if (std::find(kWords.begin(), kWords.end(), option.value) == kWords.end()) {
    return refuse(option, "allowed: on, off, follow, nofollow");
  }
  o.config.overlay.redirect_dir = option.value == "on";
  o.redirect_follow = option.value != "nofollow";
  return base::Unit{};
}

base::Checked<> set_volatile_by_fsync(MountOptions& o, Option const& option) {
  TRY(value, integer(option));
  o.volatile_fsync = value == 0;
  return base::Unit{};
}

base::Checked<> pass_on(MountOptions& o, Option const& option) {
  o.saw_allow_other = o.saw_allow_other || option.name == "allow_other";
  o.saw_allow_root = o.saw_allow_root || option.name == "allow_root";
  o.saw_default_permissions = o.saw_default_permissions || option.name == "default_permissions";
  o.fuse_options.push_back(unescaped(option.text));
  return base::Unit{};
}

base::Checked<> ignore(MountOptions& o, Option const& option) {
  o.ignored.push_back(unescaped(option.text));
  return base::Unit{};
}

struct Flag {
  string_view name;
  unsigned long bit;
  bool set;
};
constexpr std::array<Flag, 16> kFlags = {{
    {"ro", MS_RDONLY, true},
    {"rw", MS_RDONLY, false},
    {"nosuid", MS_NOSUID, true},
    {"suid", MS_NOSUID, false},
    {"nodev", MS_NODEV, true},
    {"dev", MS_NODEV, false},
    {"noexec", MS_NOEXEC, true},
    {"exec", MS_NOEXEC, false},
    {"noatime", MS_NOATIME, true},
    {"atime", MS_NOATIME, false},
    {"nodiratime", MS_NODIRATIME, true},
    {"diratime", MS_NODIRATIME, false},
    {"sync", MS_SYNCHRONOUS, true},
    {"async", MS_SYNCHRONOUS, false},
    {"dirsync", MS_DIRSYNC, true},
    {"nodirsync", MS_DIRSYNC, false},
}};

base::Checked<> set_flag(MountOptions& o, Option const& option) {
  for (Flag const& flag : kFlags) {
    if (flag.name != option.name) continue;
    unsigned long& into = flag.set ? o.flags_set : o.flags_clear;
    unsigned long& out_of = flag.set ? o.flags_clear : o.flags_set;
    into |= flag.bit;
    out_of &= ~flag.bit;  // the last word wins
  }
  return base::Unit{};
}

using Apply = base::Checked<> (*)(MountOptions&, Option const&);
enum class Argument : std::uint8_t { none, optional, required };
struct Row {
  string_view name;
  Argument argument;
  string_view value_name;
  Apply apply;
  string_view help;  // empty: left out of the help, because it does nothing
};
constexpr auto none = Argument::none;
constexpr auto optional = Argument::optional;
constexpr auto required = Argument::required;

#define UNI_APPLY(...) \
  [](MountOptions& o, [[maybe_unused]] Option const& option) -> base::Checked<> { __VA_ARGS__; }
#define UNI_SWITCH(member) UNI_APPLY(o.member = true; return base::Unit{})

// The only list of options: the parser and the help text read it.
constexpr Row kRows[] = {
    {"lowerdir", required, "A:B:...", set_lowerdirs,
     "lower layers, topmost first; \\: for a colon"},
    {"upperdir", required, "DIR",
     UNI_APPLY(o.upperdir = unescaped(option.value); return base::Unit{}),
     "layer that takes the changes; without it the mount is read-only"},
    {"workdir", required, "DIR",
     UNI_APPLY(o.workdir = unescaped(option.value); return base::Unit{}),
     "scratch directory on the upper's filesystem; needed with upperdir"},
    {"uidmapping", required, "DISK:SHOWN:COUNT:...",
     UNI_APPLY(return set_mapping(o.uidmapping, option)), "how uids of the layers are shown"},
    {"gidmapping", required, "DISK:SHOWN:COUNT:...",
     UNI_APPLY(return set_mapping(o.gidmapping, option)), "how gids of the layers are shown"},
    {"squash_to_root", none, "", UNI_SWITCH(squash_to_root), "show every owner as 0:0"},
    {"squash_to_uid", required, "N", UNI_APPLY(return set_id(o.squash_to_uid, option)),
     "show every uid as N"},
    {"squash_to_gid", required, "N", UNI_APPLY(return set_id(o.squash_to_gid, option)),
     "show every gid as N"},
    {"xattr_permissions", required, "0|1|2", set_xattr_permissions,
     "accepted; such attributes are read always and never written"},
    {"static_nlink", none, "", UNI_SWITCH(static_nlink), "directories have one link"},
    {"noacl", none, "", UNI_SWITCH(noacl), "no POSIX ACLs"},
    {"noxattrs", optional, "0|1", UNI_APPLY(return set_bool(o.noxattrs, option)),
     "no extended attributes"},
    {"volatile", none, "", UNI_SWITCH(volatile_fsync), "fsync does nothing; same as fsync=0"},
    {"fsync", optional, "0|1", set_volatile_by_fsync, "0: fsync does nothing"},
    {"timeout", required, "SECONDS", set_timeout, "how long the kernel may cache; fuse.timeout"},
    {"writeback", optional, "0|1", UNI_APPLY(return set_bool(o.config.fuse.writeback, option)),
     "let the kernel collect small writes; fuse.writeback"},
    {"max_write", required, "BYTES",
     UNI_APPLY(return set_clamped(o.config, "fuse.max_write", option)),
     "most bytes of one write request; fuse.max_write"},
    {"max_background", required, "N",
     UNI_APPLY(return set_clamped(o.config, "fuse.max_background", option)),
     "background requests in flight; fuse.max_background"},
    {"redirect_dir", required, "on|off|follow|nofollow", set_redirect_dir,
     "how renamed lower directories are recorded; overlay.redirect_dir"},
    {"xino", required, "off|auto|on", set_xino, "unique inode numbers over several filesystems"},
    {"ino32_t", none, "", UNI_SWITCH(ino32), "inode numbers of 32 bits"},
    {"fast_ino", optional, "0|1", UNI_APPLY(return set_bool(o.fast_ino, option)),
     "accepted; inode numbers of listings are right always"},
    {"debug", none, "", UNI_APPLY(o.debug = o.foreground = true; return base::Unit{}),
     "same as -d"},
    {"allow_other", none, "", pass_on, "let other users in"},
    {"allow_root", none, "", pass_on, "let root in"},
    {"default_permissions", none, "", pass_on, "the kernel checks permissions (always on)"},
    {"max_read", required, "BYTES", pass_on, "most bytes of one read request"},
    {"fsname", required, "NAME", pass_on, "name shown as the source of the mount"},
    {"subtype", required, "NAME", pass_on, "type shown after \"fuse.\""},
    {"auto_unmount", none, "", pass_on, "unmount when the process ends"},
    {"threaded", optional, "", ignore, ""},
    {"plugins", required, "", ignore, ""},
    {"context", required, "", ignore, ""},
    {"fscontext", required, "", ignore, ""},
    {"defcontext", required, "", ignore, ""},
    {"rootcontext", required, "", ignore, ""},
};

#undef UNI_SWITCH
#undef UNI_APPLY

Row const* find_row(Option const& option) {
  for (Row const& row : kRows) {
    if (row.name != option.name) continue;
    bool const fits = row.argument == Argument::optional ||
                      (row.argument == Argument::required) == option.has_value;
    return fits ? &row : nullptr;
  }
  return nullptr;
}

bool is_flag(Option const& option) {
  if (option.has_value) return false;
  return std::any_of(kFlags.begin(), kFlags.end(),
                     [&](Flag const& flag) { return flag.name == option.name; });
}

base::Checked<> apply(MountOptions& o, Option const& option) {
  if (Row const* row = find_row(option)) return row->apply(o, option);
  if (is_flag(option)) return set_flag(o, option);
  bool const setting = option.has_value && option.name.find('.') != option.name.npos;
  if (!setting || !is_field(option.name)) return ignore(o, option);
  auto const done = set_field(o.config, option.name, Text{option.value});
  if (!done) return refuse(option, done.error().message);
  return base::Unit{};
}

// SELinux labels hold commas (categories), so the callers quote them; nothing else is quoted.
bool is_quoted_option(string_view name) {
  return name == "context" || name == "fscontext" || name == "defcontext" || name == "rootcontext";
}

string_view take_token(string_view& rest) {
  std::size_t end = 0;
  for (; end < rest.size() && rest[end] != ','; ++end) {
    if (rest[end] == '\\') {
      ++end;
    } else if (rest[end] == '"' && end > 0 && rest[end - 1] == '=' &&
               is_quoted_option(rest.substr(0, end - 1))) {
      std::size_t const close = rest.find('"', end + 1);
      if (close != rest.npos) end = close;
    }
  }
  end = std::min(end, rest.size());
  string_view const token = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return token;
}

base::Checked<> apply_list(MountOptions& o, string_view list) {
  while (!list.empty()) {
    Option option;
    option.text = take_token(list);
    if (option.text.empty()) continue;  // podman 4.3.1 writes "work,,xattr_permissions=2"
    std::size_t const equals = option.text.find('=');
    option.has_value = equals != string_view::npos;
    option.name = option.text.substr(0, equals);
    if (option.has_value) option.value = option.text.substr(equals + 1);
    TRY_VOID(apply(o, option));
  }
  return base::Unit{};
}

void apply_dash(MountOptions& o, string_view argument) {
  if (argument == "-f") {
    o.foreground = true;
  } else if (argument == "-d" || argument == "--debug") {
    o.debug = o.foreground = true;
  } else if (argument == "-h" || argument == "--help") {
    o.help = true;
  } else if (argument == "-V" || argument == "--version") {
    o.version = true;
  } else {
    o.ignored.emplace_back(argument);
  }
}

base::Checked<> apply_arguments(MountOptions& o, std::span<char const* const> arguments) {
  bool only_positional = false;
  for (std::size_t i = 0; i < arguments.size() && arguments[i] != nullptr; ++i) {
    string_view const argument = arguments[i];
    if (only_positional || !argument.starts_with('-') || argument == "-") {
      o.source = std::exchange(o.mountpoint, std::string(argument));
    } else if (argument == "--") {
      only_positional = true;
    } else if (argument == "-o") {
      if (i + 1 == arguments.size() || arguments[i + 1] == nullptr) {
        return base::refuse("option -o: the list of options is missing");
      }
      TRY_VOID(apply_list(o, arguments[++i]));
    } else if (argument.starts_with("-o")) {
      TRY_VOID(apply_list(o, argument.substr(2)));
    } else {
      apply_dash(o, argument);
    }
  }
  return base::Unit{};
}

base::Checked<> check_complete(MountOptions const& o) {
  if (o.mountpoint.empty()) return base::refuse("no mountpoint given");
  if (o.lowerdirs.empty()) return base::refuse("no lowerdir given: -o lowerdir=DIR[:DIR...]");
  if (!o.upperdir.empty() && o.workdir.empty()) {
    return base::refuse("upperdir=" + o.upperdir + " needs a workdir: -o workdir=DIR");
  }
  return check_together(o.config);
}

void append_line(std::string& help, std::string left, string_view right) {
  left = "    -o " + left;
  left.resize(std::max<std::size_t>(left.size() + 2, 40), ' ');
  help += left + std::string(right) + "\n";
}

}  // namespace

base::Checked<MountOptions> parse_mount_arguments(std::span<char const* const> arguments,
                                                  Config const& config) {
  MountOptions o;
  o.config = config;
  TRY_VOID(apply_arguments(o, arguments));
  o.timeout = o.config.fuse.timeout;
  o.writeback = o.config.fuse.writeback;
  o.redirect_create = o.config.overlay.redirect_dir;
  if (!o.help && !o.version) TRY_VOID(check_complete(o));
  return o;
}

std::string mount_help() {
  std::string help =
      "usage: usernetes-identity [SOURCE] MOUNTPOINT -o lowerdir=DIR[:DIR...][,OPTION...]\n\n"
      "    -f                                stay in the foreground\n"
      "    -d, --debug                       log every request (implies -f)\n"
      "    -h, --help                        this text\n"
      "    -V, --version                     version\n\n";
  for (Row const& row : kRows) {
    if (row.help.empty()) continue;
    std::string left(row.name);
    if (row.argument != Argument::none) left += "=" + std::string(row.value_name);
    append_line(help, std::move(left), row.help);
  }
  std::string flags;
  for (Flag const& flag : kFlags) flags += (flags.empty() ? "" : ",") + std::string(flag.name);
  append_line(help, "FLAG", "flags of mount(8): " + flags);
  append_line(help, "SECTION.KEY=VALUE", "any setting of config.toml, for this mount");
  help += "\nOptions that are not listed are accepted and ignored.\n";
  return help;
}

}  // namespace config
