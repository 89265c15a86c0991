// Planned maps, written to the uid_map of a real namespace nested in a pool: the kernel takes what
// we plan, and refuses what we refuse.
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "identity/id_plan.hpp"
#include "tests/service/pool.hpp"

namespace {

using identity::Extent;
using identity::Id;
using service_test::in_pool;
using service_test::Nested;

constexpr const char* kPool = "0 0 1\n1 1 1999\n65534 65534 2\n";

identity::IdPlan plan(const std::vector<Id>& wanted) {
  identity::Pool pool = identity::Pool::parse(kPool).value();
  identity::LiveSlots slots(pool, pool.hash_range(), identity::Rule::wide, {},
                            identity::Collisions::native);
  return identity::plan_ids(pool, slots, wanted);
}

std::vector<Id> every_other(Id first, Id count) {
  std::vector<Id> ids;
  for (Id i = 0; i < count; ++i) ids.push_back(first + 2 * i);
  return ids;
}

// The answer of the kernel, and whether the map is then what was written. `padding`: blanks at the
// end of the last line, which mean nothing.
std::string write_plan(const std::vector<Extent>& extents, const std::string& padding = "") {
  Nested nested;
  std::string text = identity::map_text(extents);
  for (const char* kind : {"uid", "gid"}) {
    std::string answer = nested.write_map(kind, text.substr(0, text.size() - 1) + padding + "\n");
    if (answer != "ok") return answer;
    if (nested.read_map(kind) != text) return std::string(kind) + ": reads otherwise";
  }
  return "ok";
}

std::string expect(const std::string& what, const std::string& wanted, const std::string& got) {
  return wanted == got ? "" : what + ": " + got + ", expected " + wanted + "\n";
}

TEST(IdMap, TheKernelTakesWhatIsPlanned) {
  std::vector<Id> run(300);
  std::iota(run.begin(), run.end(), 40000);
  const std::vector<std::vector<Id>> sets = {{},
                                             {60000},
                                             {0, 1, 2, 65534, 65535, 2000, 1999, 1998, 1000, 999},
                                             {0x7FFFFFFF, 0x80000000, 0xFFFFFFFD, 0xFFFFFFFE},
                                             run,
                                             every_other(20001, 300),
                                             every_other(1, 999),
                                             every_other(4000000001, 1200)};
  EXPECT_EQ(in_pool([&] {
              std::string bad;
              for (const std::vector<Id>& ids : sets) {
                auto extents = plan(ids).extents;
                bad += expect(std::to_string(ids.size()) + " ids in " +
                                  std::to_string(extents.size()) + " lines",
                              "ok", write_plan(extents));
              }
              return bad;
            }),
            "");
}

TEST(IdMap, TheLimitsAreTheKernels) {
  EXPECT_EQ(in_pool([] {
              identity::IdPlan full = plan(every_other(2001, 400));
              if (full.extents.size() != identity::kMaxExtents || full.left_out.empty())
                return "the plan has " + std::to_string(full.extents.size()) + " lines";
              std::string bad = expect("340 lines", "ok", write_plan(full.extents));
              std::vector<Extent> more = full.extents;
              more.push_back({4000000, more.back().outside, 1});
              more[more.size() - 2].count = 1;  // its second id is the new one's
              more.back().outside += 1;
              bad += expect("341 lines", "EINVAL", write_plan(more));
              std::size_t room = identity::kMaxMapBytes - identity::map_text(full.extents).size();
              bad += expect("4,095 bytes", "ok", write_plan(full.extents, std::string(room, ' ')));
              bad += expect("4,096 bytes", "EINVAL",
                            write_plan(full.extents, std::string(room + 1, ' ')));
              return bad;
            }),
            "");
}

TEST(IdMap, AnExtentAcrossTheParentsIsRefused) {
  EXPECT_EQ(in_pool([] {
              std::string bad = expect("across", "EPERM", write_plan({{0, 0, 2000}}));
              bad += expect("split", "ok", write_plan({{0, 0, 1}, {1, 1, 1999}}));
              bad += expect("the last id", "EINVAL", write_plan({{0xFFFFFFFF, 5, 1}}));
              return bad;
            }),
            "");
}

}  // namespace
