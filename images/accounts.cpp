#include "images/accounts.hpp"

#include <algorithm>
#include <optional>

#include "identity/owner_record.hpp"

namespace images {
namespace {

constexpr std::size_t kMostLine = 4096;  // bytes of a passwd line; glibc's own buffers are smaller
constexpr std::size_t kMostName = 64;
// A range is of use to a container within the container only as a whole, and a larger one would
// take the window from everybody else.
constexpr Id kMostSubIds = 64;

std::string_view take_field(std::string_view& rest) {
  const std::size_t colon = rest.find(':');
  std::string_view field = rest.substr(0, colon);
  rest = colon == rest.npos ? std::string_view{} : rest.substr(colon + 1);
  return field;
}

// As getpwent(3) reads numbers, which minds no leading zeros.
std::optional<Id> number(std::string_view text) {
  while (text.size() > 1 && text.front() == '0') text.remove_prefix(1);
  auto id = identity::parse_id(text);
  if (!id) return std::nullopt;
  return *id;
}

std::string quoted(std::string_view text) {
  return "\"" + std::string(text.substr(0, kMostName)) + "\"";
}

}  // namespace

bool AccountReader::feed(std::string_view piece) {
  const std::uint64_t room = kMostBytes - bytes_;
  const bool all = piece.size() <= room;
  piece = piece.substr(0, room);
  bytes_ += piece.size();
  while (!piece.empty()) {
    const std::size_t end = piece.find('\n');
    line_part(piece.substr(0, end));
    if (end == piece.npos) break;
    end_line();
    piece.remove_prefix(end + 1);
  }
  if (!all) {
    found_.note("/" + std::string(kAccountPaths[static_cast<std::size_t>(kind_)]) +
                ": is larger than 16 MiB; the rest was not read");
    line_.clear();
    too_long_ = false;
  }
  return all;
}

void AccountReader::finish() {
  if (!line_.empty() || too_long_) end_line();
}

void AccountReader::line_part(std::string_view part) {
  too_long_ = too_long_ || line_.size() + part.size() > kMostLine;
  if (!too_long_) line_.append(part);
}

// The fields that matter stand before the members of a group, which may be many.
void AccountReader::end_line() {
  ++lines_;
  std::string_view line = line_;
  if (line.ends_with('\r')) line.remove_suffix(1);
  // '+' and '-' are lines of NIS and name nobody in here.
  const bool counts =
      !line.empty() && line.front() != '#' && line.front() != '+' && line.front() != '-';
  if (too_long_)
    complain("the line is longer than 4096 bytes and was passed over");
  else if (counts && (kind_ == AccountFile::passwd || kind_ == AccountFile::group))
    account(line);
  else if (counts)
    range(line);
  line_.clear();
  too_long_ = false;
}

void AccountReader::account(std::string_view line) {
  std::string_view name = take_field(line);
  take_field(line);
  std::string_view own = take_field(line);
  const bool user = kind_ == AccountFile::passwd;
  if (auto id = number(own)) {
    (user ? found_.uids : found_.gids).add(*id, Weight::account, origin(name));
  } else {
    return complain((user ? "uid " : "gid ") + quoted(own) +
                    " is not a number from 0 to 4294967294");
  }
  if (!user) return;
  std::string_view group = take_field(line);
  if (auto id = number(group))
    found_.gids.add(*id, Weight::account, origin(name));
  else
    complain("gid " + quoted(group) + " is not a number from 0 to 4294967294");
}

void AccountReader::range(std::string_view line) {
  std::string_view name = take_field(line);
  std::string_view first_text = take_field(line), count_text = take_field(line);
  auto first = number(first_text), count = number(count_text);
  if (!first || !count || *count > identity::kNoId - *first)
    return complain("range " + quoted(first_text) + ":" + quoted(count_text) +
                    " is not one of ids");
  if (*count > kMostSubIds)
    return complain("the range of " + std::to_string(*count) + " ids for " + quoted(name) +
                    " is too large to be planned; ask for what is needed of it by --id");
  Found& found = kind_ == AccountFile::subuid ? found_.uids : found_.gids;
  for (Id i = 0; i < *count; ++i) found.add(*first + i, Weight::subid, origin(name));
}

void AccountReader::complain(const std::string& what) {
  found_.note("/" + std::string(kAccountPaths[static_cast<std::size_t>(kind_)]) + ":" +
              std::to_string(lines_) + ": " + what);
}

std::string AccountReader::origin(std::string_view name) const {
  return "/" + std::string(kAccountPaths[static_cast<std::size_t>(kind_)]) + ":" +
         std::to_string(lines_) + " " + std::string(name.substr(0, kMostName));
}

}  // namespace images
