// A mount or a verb, by the first word; the table as shown by --help and the pages.
#include "cli/verbs.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "cli/run.hpp"
#include "tests/config/section.hpp"

namespace {

struct Outcome {
  int code;
  std::string out, err;
};

Outcome run(std::vector<const char*> words) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  int code = cli::run(static_cast<int>(words.size()), words.data());
  std::string out = testing::internal::GetCapturedStdout();
  return {code, out, testing::internal::GetCapturedStderr()};
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

TEST(Verbs, EveryOneIsInTheHelpAndHasItsOwn) {
  std::string help = run({"usernetes-identity", "--help"}).out;
  EXPECT_TRUE(has(help, "-o lowerdir="));
  EXPECT_EQ(help, run({"usernetes-identity", "help"}).out);
  for (const cli::Verb& verb : cli::verbs()) {
    if (verb.internal) continue;
    std::string name(verb.name);
    EXPECT_TRUE(has(help, "\n    " + name + " ")) << name;
    auto asked = run({"usernetes-identity", name.c_str(), "--help"});
    EXPECT_EQ(asked.code, 0);
    EXPECT_TRUE(has(asked.out, std::string(verb.summary))) << asked.out;
    EXPECT_EQ(asked.out, run({"/usr/bin/usernetes-identity", "help", name.c_str()}).out);
    EXPECT_EQ(cli::find_verb(name), &verb);
    EXPECT_FALSE(name.starts_with('-') || has(name, "/")) << "would be taken for a mount";
  }
}

TEST(Verbs, AnUnknownOneIsRefusedWithASuggestion) {
  auto outcome = run({"usernetes-identity", "versoin"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_TRUE(has(outcome.err, "no verb \"versoin\"; did you mean \"version\"?")) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  outcome = run({"usernetes-identity", "help", "nonsense"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_FALSE(has(outcome.err, "did you mean")) << outcome.err;
}

TEST(Verbs, AnUnknownOptionIsRefused) {
  auto outcome = run({"usernetes-identity", "version", "--bogus"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_TRUE(has(outcome.err, "--bogus")) << outcome.err;
}

TEST(Verbs, AMountIsAMountWhateverItsTarget) {
  const std::vector<std::vector<const char*>> mounts = {
      {"usernetes-identity"},
      {"usernetes-identity", "-o", "lowerdir=/nonexistent", "version"},
      {"usernetes-identity", "version", "-o", "lowerdir=/nonexistent"},
      {"usernetes-identity", "version", "help", "-olowerdir=/nonexistent"},
      {"usernetes-identity", "./version"},
      {"usernetes-identity", "/nonexistent/merged"},
      {"fuse-overlayfs", "version"},
      {"/sbin/mount.usernetes-identity", "help", "version"},
      {"usernetes-identity", ""},
      {"usernetes-identity", "--", "version"},
  };
  for (const auto& words : mounts) {
    auto outcome = run(words);
    EXPECT_EQ(outcome.code, 1);
    EXPECT_EQ(outcome.out, "");
    EXPECT_TRUE(has(outcome.err, "lowerdir") || has(outcome.err, "no mountpoint")) << outcome.err;
  }
}

// --- the pages ---------------------------------------------------------------------------------

using documentation::Section;
const Section sections[] = {
    {"readme_verbs", "README.md", "<!-- verbs -->\n", "<!-- /verbs -->", cli::verbs_markdown},
    {"manual_verbs", "docs/man/usernetes-identity.1", ".\\\" verbs\n", ".\\\" /verbs",
     cli::verbs_roff},
};

class VerbsDocumentation : public testing::TestWithParam<Section> {};

// After a change of a verb: UPDATE_DOCS=1 test_cli --gtest_filter='*Documentation*' writes them.
TEST_P(VerbsDocumentation, IsThatOfTheTable) {
  documentation::check(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Pages, VerbsDocumentation, testing::ValuesIn(sections),
                         documentation::name_of);

}  // namespace
