// Owns: the parts of README.md and of the manual page that a table of the code fills. Called by:
// tests/config, tests/cli. Never: writes one unless UPDATE_DOCS is set.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <ostream>
#include <sstream>
#include <string>

namespace documentation {

/// What stands between two lines of a file, and what should.
struct Section {
  const char* name;
  const char* file;  // from the root of the sources
  const char* begin;
  const char* end;
  std::string (*text)();
};
inline std::ostream& operator<<(std::ostream& out, const Section& section) {
  return out << section.name;
}
inline std::string name_of(const testing::TestParamInfo<Section>& section) {
  return section.param.name;
}

/// Compares; with UPDATE_DOCS in the environment it writes the section anew instead.
inline void check(const Section& section) {
  std::string path = std::string(UNI_SOURCE_DIR "/") + section.file;
  std::stringstream stream;
  stream << std::ifstream(path).rdbuf();
  std::string page = stream.str();
  std::size_t begin = page.find(section.begin);
  ASSERT_NE(begin, page.npos) << path << " lacks the line " << section.begin;
  begin += std::string(section.begin).size();
  std::size_t end = page.find(section.end, begin);
  ASSERT_NE(end, page.npos) << path << " lacks the line " << section.end;
  if (std::getenv("UPDATE_DOCS")) {
    std::ofstream(path) << page.substr(0, begin) << section.text() << page.substr(end);
    return;
  }
  EXPECT_EQ(page.substr(begin, end - begin), section.text())
      << path << ": write it anew with UPDATE_DOCS=1";
}

}  // namespace documentation
