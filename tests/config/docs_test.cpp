// The tables of README.md and of the manual page are those of the code. After a change of a setting
// or an option: UPDATE_DOCS=1 test_config --gtest_filter='*Documentation*' writes them anew.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "config/mount_options.hpp"
#include "config/setting.hpp"
#include "tests/config/section.hpp"

namespace {

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find(separator, begin)) != text.npos;
       begin = end + separator.size())
    parts.push_back(text.substr(begin, end - begin));
  parts.push_back(text.substr(begin));
  return parts;
}

// Text as troff(1) prints it unchanged.
std::string roff(const std::string& text) {
  std::string out;
  for (char c : text)
    out += c == '\\' ? "\\e" : c == '-' ? "\\-" : c == '"' ? "\\(dq" : std::string(1, c);
  return out;
}

// `    -o LEFT  RIGHT` lines of the help.
std::string options_as_roff() {
  std::string out;
  for (const std::string& line : split(config::mount_help(), "\n")) {
    if (!line.starts_with("    -o ")) continue;
    std::size_t gap = line.find("  ", 4);
    std::string right = line.substr(line.find_first_not_of(' ', gap));
    out += ".TP\n.B " + roff(line.substr(4, gap - 4)) + "\n" + roff(right) + "\n";
  }
  return out;
}

// `| key | default | allowed | takes effect | meaning |` rows of the table.
std::string settings_as_roff() {
  std::string out;
  auto rows = split(config::fields_markdown(), "\n");
  for (std::size_t i = 2; i + 1 < rows.size(); ++i) {
    std::vector<std::string> cells = split(rows[i].substr(2, rows[i].size() - 4), " | ");
    auto bare = [](const std::string& quoted) { return quoted.substr(1, quoted.size() - 2); };
    out += ".TP\n.BR " + roff(bare(cells[0])) + " \" (default " + roff(bare(cells[1])) + ")\"\n" +
           roff(cells[4]) + "; allowed: " + roff(cells[2]) + "; a change takes effect " +
           roff(cells[3]) + "\n";
  }
  return out;
}

using documentation::Section;
const Section sections[] = {
    {"readme_settings", "README.md", "<!-- settings -->\n", "<!-- /settings -->",
     config::fields_markdown},
    {"readme_options", "README.md", "<!-- options -->\n```text\n", "```\n<!-- /options -->",
     config::mount_help},
    {"manual_settings", "docs/man/usernetes-identity.1", ".\\\" settings\n", ".\\\" /settings",
     settings_as_roff},
    {"manual_options", "docs/man/usernetes-identity.1", ".\\\" options\n", ".\\\" /options",
     options_as_roff},
};

class Documentation : public testing::TestWithParam<Section> {};

TEST_P(Documentation, IsThatOfTheCode) {
  documentation::check(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Pages, Documentation, testing::ValuesIn(sections), documentation::name_of);

}  // namespace
