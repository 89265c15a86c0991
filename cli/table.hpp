// Owns: text for a terminal: tables, sizes, durations. Called by: the verbs that show something.
// Never: lets a byte through that could move a terminal's cursor: paths come from containers.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

/// Control characters and what is not UTF-8 as \xNN.
std::string printable(std::string_view raw);

/// "3 d 4 h", "4 min 5 s", "0.2 s".
std::string duration(double seconds);
/// "12.3 MiB".
std::string bytes(double count);

class Table {
 public:
  /// A title that begins with '<' is of a column aligned to the left.
  explicit Table(std::vector<std::string> titles);
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.size() == 1; }
  /// Columns two blanks apart; lines end with '\n' and without blanks.
  std::string text() const;

 private:
  std::vector<bool> left_;
  std::vector<std::vector<std::string>> rows_;  // the titles first
};

}  // namespace cli
