// Owns: nothing; it reads the lines of passwd, group, subuid and subgid files. Called by:
// images/rootfs (files of a directory), images/archive (the same files in a tar). Never: holds more
// than one line, or believes that a file ends.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "images/found.hpp"

namespace images {

enum class AccountFile : std::uint8_t { passwd, group, subuid, subgid };
inline constexpr std::array<std::string_view, 4> kAccountPaths = {"etc/passwd", "etc/group",
                                                                  "etc/subuid", "etc/subgid"};

/// Takes such a file in pieces.
class AccountReader {
 public:
  /// Bytes of one file that are looked at; passwd files of whole universities are smaller.
  static constexpr std::uint64_t kMostBytes = 16 << 20;

  AccountReader(AccountFile kind, FoundIds& found) : kind_(kind), found_(found) {}
  /// False: enough, the rest is not looked at.
  bool feed(std::string_view piece);
  /// After the last piece.
  void finish();

 private:
  void line_part(std::string_view part);
  void end_line();
  void account(std::string_view line);
  void range(std::string_view line);
  void complain(const std::string& what);
  std::string origin(std::string_view name) const;

  AccountFile kind_;
  FoundIds& found_;
  std::string line_;  // what has come of the current line, at most kMostLine bytes
  bool too_long_ = false;
  std::uint64_t lines_ = 0, bytes_ = 0;
};

}  // namespace images
