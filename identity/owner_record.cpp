#include "identity/owner_record.hpp"

#include <charconv>
#include <optional>

namespace identity {
namespace {

constexpr std::uint32_t kPermissionBits = 07777;
// dev_t of the kernel (include/linux/kdev_t.h): 12 bits major, 20 bits minor.
constexpr std::uint32_t kMaxMajor = 0xFFF;
constexpr std::uint32_t kMaxMinor = 0xFFFFF;

struct TypeRow {
  NodeType type;
  std::uint32_t bits;
  std::string_view word;
};
// The S_IFMT bits of <sys/stat.h> never change; identity/ includes no system header for them.
constexpr std::array<TypeRow, 7> kTypes = {{
    {NodeType::file, 0100000, "file"},
    {NodeType::dir, 0040000, "dir"},
    {NodeType::symlink, 0120000, "symlink"},
    {NodeType::fifo, 0010000, "pipe"},
    {NodeType::socket, 0140000, "socket"},
    {NodeType::block, 0060000, "block"},
    {NodeType::chr, 0020000, "char"},
}};

bool is_device(NodeType type) {
  return type == NodeType::block || type == NodeType::chr;
}

std::optional<std::uint32_t> number(std::string_view text, std::size_t max_digits, int base) {
  if (text.empty() || text.size() > max_digits) return std::nullopt;
  std::uint32_t value = 0;
  char const* const end = text.data() + text.size();
  auto const [stop, error] = std::from_chars(text.data(), end, value, base);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

// Cuts `rest` at the first `separator`; without one the field is all of it and rest becomes empty.
std::string_view cut(std::string_view& rest, std::string_view separators) {
  std::size_t const at = rest.find_first_of(separators);
  std::string_view const field = rest.substr(0, at);
  rest = at == rest.npos ? std::string_view{} : rest.substr(at + 1);
  return field;
}

base::Result<> apply_mode(OverrideStat& stat, std::string_view text) {
  // Seven digits: "0100755", a leading zero before the type bits.
  auto const mode = number(text, 7, 8);
  if (!mode) return base::fail(EINVAL);
  stat.mode = *mode & kPermissionBits;
  std::uint32_t const bits = *mode & ~kPermissionBits;
  if (bits == 0) return base::Unit{};
  for (TypeRow const& row : kTypes) {
    if (row.bits == bits) {
      stat.type = row.type;
      return base::Unit{};
    }
  }
  return base::fail(EINVAL);
}

base::Result<> apply_type(OverrideStat& stat, std::string_view text) {
  std::string_view numbers = text;
  std::string_view const word = cut(numbers, "-:");
  for (TypeRow const& row : kTypes) {
    if (row.word != word) continue;
    stat.type = row.type;
    if (!is_device(row.type)) {
      return word == text ? base::Result<>(base::Unit{}) : base::fail(EINVAL);
    }
    auto const major = number(cut(numbers, "-:"), 4, 10);
    auto const minor = number(numbers, 7, 10);
    if (!major || !minor || *major > kMaxMajor || *minor > kMaxMinor) return base::fail(EINVAL);
    stat.major = *major;
    stat.minor = *minor;
    return base::Unit{};
  }
  return base::fail(EINVAL);
}

// A base-128 varint (protobuf encoding guide). At most ten bytes, as every other reader has it.
std::optional<std::uint64_t> take_varint(std::string_view& rest) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 10 && i < rest.size(); ++i) {
    auto const byte = static_cast<unsigned char>(rest[i]);
    if (i == 9 && byte > 1) return std::nullopt;
    value |= std::uint64_t{byte & 0x7Fu} << (7 * i);
    if (byte < 0x80) {
      rest.remove_prefix(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

bool skip_field(std::string_view& rest, std::uint64_t wire_type) {
  std::uint64_t length = 0;
  switch (wire_type) {
    case 0: return take_varint(rest).has_value();
    case 1: length = 8; break;
    case 5: length = 4; break;
    case 2: {
      auto const told = take_varint(rest);
      if (!told) return false;
      length = *told;
      break;
    }
    default: return false;  // groups were deprecated before this message was invented
  }
  if (length > rest.size()) return false;
  rest.remove_prefix(length);
  return true;
}

}  // namespace

base::Result<Id> parse_id(std::string_view text) {
  auto const id = number(text, 10, 10);
  bool const leading_zero = text.size() > 1 && text.front() == '0';
  if (!id || *id == kNoId || leading_zero) return base::fail(EINVAL);
  return *id;
}

std::string format_id(Id id) {
  return std::to_string(id);
}

base::Result<OverrideStat> parse_override_stat(std::string_view text) {
  OverrideStat stat;
  std::string_view rest = text;
  TRY(uid, parse_id(cut(rest, ":")));
  TRY(gid, parse_id(cut(rest, ":")));
  stat.uid = uid;
  stat.gid = gid;
  std::string_view const mode = rest.substr(0, rest.find(':'));
  bool const has_type = mode.size() != rest.size();
  TRY_VOID(apply_mode(stat, mode));
  if (has_type) TRY_VOID(apply_type(stat, rest.substr(mode.size() + 1)));
  return stat;
}

std::string format_override_stat(OverrideStat const& stat) {
  std::string text = format_id(stat.uid) + ":" + format_id(stat.gid) + ":";
  for (int shift = 9; shift >= 0; shift -= 3) {
    text += static_cast<char>('0' + ((stat.mode >> shift) & 7));
  }
  for (TypeRow const& row : kTypes) {
    if (row.type != stat.type) continue;
    text += ':';
    text += row.word;
    if (is_device(row.type)) {
      text += "-" + std::to_string(stat.major) + "-" + std::to_string(stat.minor);
    }
  }
  return text;
}

base::Result<Device> parse_device(std::string_view text) {
  OverrideStat stat;
  TRY_VOID(apply_type(stat, text));
  Device const device{stat.type, stat.major, stat.minor};
  bool const whiteout = stat.type == NodeType::chr && stat.major == 0 && stat.minor == 0;
  if (!is_device(stat.type) || whiteout) return base::fail(EINVAL);
  return device;
}

std::string format_device(Device const& device) {
  return std::string(device.type == NodeType::block ? "block-" : "char-") +
         std::to_string(device.major) + "-" + std::to_string(device.minor);
}

base::Result<std::pair<Id, Id>> parse_rootlesscontainers(std::string_view bytes) {
  std::pair<Id, Id> owner{0, 0};  // proto3: an absent field is 0
  while (!bytes.empty()) {
    auto const tag = take_varint(bytes);
    if (!tag || (*tag >> 3) == 0) return base::fail(EINVAL);
    std::uint64_t const field = *tag >> 3;
    std::uint64_t const wire_type = *tag & 7;
    if (field != 1 && field != 2) {
      if (!skip_field(bytes, wire_type)) return base::fail(EINVAL);
      continue;
    }
    auto const id = wire_type == 0 ? take_varint(bytes) : std::nullopt;
    if (!id || *id > kNoId) return base::fail(EINVAL);
    (field == 1 ? owner.first : owner.second) = static_cast<Id>(*id);
  }
  return owner;
}

bool is_internal_xattr(std::string_view name) {
  constexpr std::array<std::string_view, 7> kPrefixes = {
      "user.usernetes.",
      "user.overlay.",
      "trusted.overlay.",
      "user.fuseoverlayfs.",
      "security.fuseoverlayfs.",
      "user.containers.override_",
      "trusted.containers.override_",
  };
  for (std::string_view prefix : kPrefixes) {
    if (name.starts_with(prefix)) return true;
  }
  return name == kRootlessXattr;
}

}  // namespace identity
