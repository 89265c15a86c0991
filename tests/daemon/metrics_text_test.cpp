#include "daemon/metrics_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "base/fd.hpp"
#include "fusefs/wire.hpp"

namespace serving {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// Two mounts that have seen something, one of them with a name to be afraid of.
struct Example {
  fusefs::SessionStats first, second;
  Status status;
  Example() {
    first.ops[FUSE_LOOKUP].requests = 4;
    first.ops[FUSE_LOOKUP].errors[ENOENT] = 3;
    for (std::int64_t ns : {900, 5'000, 5'100, 2'000'000'000}) first.ops[FUSE_LOOKUP].record(ns);
    first.ops[FUSE_READ].requests = 2;
    first.ops[FUSE_READ].waited = 1;
    first.ops[FUSE_READ].record(300'000'000'000);
    first.ops[0].errors[ENOSYS] = 7;
    first.rejected = 7;
    second.ops[FUSE_LOOKUP].requests = 1;
    second.ops[FUSE_LOOKUP].errors[9999] = 1;
    second.ops[FUSE_LOOKUP].record(1);
    add(1, "/plain", first);
    add(2, "/a \"b\"\\c\nusernetes_identity_forged 1\n\x01\xff\xc3\xa4{}", second);
    status.version = "0.1.0";
    status.mounts_ever = 2;
    status.uid_slots.strangers = 5;
    ControlStatus control;
    control.rejected = {{"uid", 1}, {"garbage", 0}};
    status.control.push_back(control);
    status.process.cpu_s = 0.125;
    status.process.rss_bytes = 123456789012;
  }
  void add(std::uint64_t id, std::string path, const fusefs::SessionStats& stats) {
    MountStatus mount;
    mount.id = id;
    mount.path = std::move(path);
    mount.stats = &stats;
    status.mounts.push_back(std::move(mount));
    status.requests.merge(stats);
  }
};

/// What the reader of tests/e2e says of it; "" if it was content.
std::string judge(const std::string& text) {
  std::string path = "/tmp/uni-metrics.XXXXXX";
  base::Fd fd(::mkstemp(path.data()));
  std::ofstream(path) << text;
  std::string said = path + ".said";
  std::string command = "python3 " UNI_SOURCE_DIR "/tests/e2e/prometheus.py " + path + " >" + said;
  int status = std::system(command.c_str());
  std::ifstream file(said);
  std::string line;
  std::getline(file, line);
  ::unlink(path.c_str());
  ::unlink(said.c_str());
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "" : "fault: " + line;
}

TEST(MetricsText, AStrictReaderTakesIt) {
  EXPECT_EQ(judge(metrics_text(Example().status)), "");
  EXPECT_EQ(judge(metrics_text(Status{})), "") << "nothing mounted, no control socket";
}

/// The reader would be of no use if it took everything.
TEST(MetricsText, TheReaderIsStrict) {
  std::string good = metrics_text(Example().status);
  auto without = [&](const std::string& part) {
    std::string text = good;
    auto at = text.find(part);
    EXPECT_NE(at, std::string::npos) << part;
    return text.replace(at, part.size(), "");
  };
  EXPECT_THAT(judge(without("# HELP usernetes_identity_requests_total")), HasSubstr("fault"));
  EXPECT_THAT(judge(without("# TYPE usernetes_identity_copy_ups_total counter\n")),
              HasSubstr("has no HELP and TYPE"));
  EXPECT_THAT(judge(without("\\n")), Not(HasSubstr("fault")));
  EXPECT_THAT(judge(good + good), HasSubstr("twice"));
  EXPECT_THAT(judge(good + "usernetes_identity_mounts 2\n"), HasSubstr("do not stand together"));
  EXPECT_THAT(judge(good + "x{a=\"\n\"} 1\n"), HasSubstr("no sample"));
  EXPECT_THAT(judge(good.substr(0, good.size() - 1)), HasSubstr("no end"));
  EXPECT_THAT(judge(without("op=\"lookup\",le=\"+Inf\"} 5")), HasSubstr("fault"));
}

TEST(MetricsText, HistogramsAreCumulativeAndOfAllMounts) {
  std::string text = metrics_text(Example().status);
  const std::string name = "usernetes_identity_request_duration_seconds";
  for (const char* row :
       {"_bucket{op=\"lookup\",le=\"1.024e-06\"} 2\n",
        "_bucket{op=\"lookup\",le=\"4.096e-06\"} 2\n",
        "_bucket{op=\"lookup\",le=\"8.192e-06\"} 4\n", "_bucket{op=\"lookup\",le=\"+Inf\"} 5\n",
        "_count{op=\"lookup\"} 5\n", "_sum{op=\"lookup\"} 2.000011001\n",
        "_bucket{op=\"read\",le=\"137.438953472\"} 0\n", "_bucket{op=\"read\",le=\"+Inf\"} 1\n"})
    EXPECT_THAT(text, HasSubstr(name + row));
}

TEST(MetricsText, WhatIsCounted) {
  std::string text = metrics_text(Example().status);
  for (const char* row :
       {"requests_total{op=\"lookup\"} 5\n", "requests_waited_total{op=\"read\"} 1\n",
        "errors_total{op=\"lookup\",errno=\"ENOENT\"} 3\n",
        "errors_total{op=\"lookup\",errno=\"9999\"} 1\n",
        "errors_total{op=\"none\",errno=\"ENOSYS\"} 7\n", "rejected_total 7\n",
        "strangers_total{kind=\"uid\"} 5\n", "control_rejected_total{reason=\"uid\"} 1\n",
        "mount_requests_total{mount=\"1\",path=\"/plain\"} 6\n",
        "resident_memory_bytes 123456789012\n", "cpu_seconds_total 0.125\n", "mounts 2\n"})
    EXPECT_THAT(text, HasSubstr(std::string("usernetes_identity_") + row));
}

TEST(MetricsText, AMountPathEndsNoLabelAndNoLine) {
  std::string text = metrics_text(Example().status);
  EXPECT_THAT(text, Not(HasSubstr("\nusernetes_identity_forged")));
  EXPECT_THAT(text, HasSubstr("path=\"/a \\\"b\\\"\\\\c\\nusernetes_identity_forged 1\\n"
                              "??\xc3\xa4{}\"} "));
  EXPECT_EQ(escape_label("\xf0\x9f\x98\x80"), "\xf0\x9f\x98\x80");
  EXPECT_EQ(escape_label("\xed\xa0\x80"), "???") << "a surrogate";
  EXPECT_EQ(escape_label("\xc0\xaf"), "??") << "a slash too long";
  EXPECT_EQ(escape_label("\xe2\x82"), "??") << "cut off";
  EXPECT_EQ(escape_label(std::string_view("\0\t\x7f", 3)), "???");
}

}  // namespace
}  // namespace serving
