// A ledger is what its writer said, whenever it stopped; and a successor believes nothing else.
#include "fusefs/ledger.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/fusefs/rig.hpp"

namespace fusefs_test {
namespace {

using fusefs::Ledger;
using fusefs::Plan;
using fusefs::Verdict;
namespace layout = fusefs::layout;

base::Fd copy_of(int fd) {
  return base::Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

std::unique_ptr<Ledger> fresh() {
  auto ledger = Ledger::create("a build");
  EXPECT_TRUE(ledger.has_value());
  return std::move(*ledger);
}

std::unique_ptr<Ledger> successor(const Ledger& ledger) {
  auto next = Ledger::adopt(copy_of(ledger.fd()));
  EXPECT_TRUE(next.has_value()) << (next ? "" : next.error().message);
  return next ? std::move(*next) : nullptr;
}

std::set<std::string> names_in(const Ledger& ledger) {
  std::set<std::string> names;
  ledger.each_name([&](const Ledger::FoundName& name) {
    names.insert(std::to_string(name.parent) + "/" + name.text + "=" + std::to_string(name.node));
  });
  return names;
}

long kilobytes(const Ledger& ledger) {
  struct stat st {};
  ::fstat(ledger.fd(), &st);
  return static_cast<long>(st.st_blocks / 2);
}

TEST(Ledger, IsReadAsItWasWritten) {
  auto ledger = fresh();
  const std::string longest(255, 'x');
  ledger->describe(2, 77, 4);
  ledger->lookups(2, 5);
  ledger->name(2, 1, "short");
  ledger->describe(40000, 78, 1);
  const auto dropped = ledger->name(40000, 2, "dropped");
  ledger->name(40000, 2, longest);
  ledger->drop_name(dropped);
  ledger->handle(3, 40000, O_RDWR);
  ledger->handle(4, 2, O_RDONLY);
  ledger->drop_handle(4);
  ledger->agree(0x123456789ull, 45, 4096);
  auto next = successor(*ledger);
  EXPECT_EQ(next->build(), "a build");
  EXPECT_TRUE(next->inherited());
  EXPECT_EQ(names_in(*next), (std::set<std::string>{"1/short=2", "2/" + longest + "=40000"}));
  ASSERT_NE(next->node_at(2), nullptr);
  EXPECT_EQ(next->node_at(2)->lookups, 5u);
  EXPECT_EQ(next->node_at(2)->ino, 77u);
  EXPECT_EQ(next->node_at(3), nullptr);
  ASSERT_NE(next->handle_at(3), nullptr);
  EXPECT_EQ(next->handle_at(3)->access, O_RDWR);
  EXPECT_EQ(next->handle_at(4), nullptr);
  EXPECT_EQ(next->head().agreed.flags, 0x123456789ull);
}

TEST(Ledger, TellsWhatIsUnderWay) {
  auto ledger = fresh();
  const auto first = ledger->begin(10, 1);
  ledger->interrupted(ledger->begin(12, 2));
  ledger->end(first, 10);
  auto next = successor(*ledger);
  ASSERT_EQ(next->lost().size(), 1u);
  EXPECT_EQ(next->lost()[0].unique, 12u);
  EXPECT_EQ(next->lost()[0].interrupted, 1u);
  EXPECT_EQ(next->head().last_unique, 12u);
  next->forget_lost();
  EXPECT_TRUE(next->lost().empty());
}

TEST(Ledger, ChangesAreAnnouncedAndSettled) {
  auto ledger = fresh();
  {
    fusefs::Change failed(ledger.get(), {.unique = 8, .name = "never made"});
    EXPECT_EQ(successor(*ledger)->intent().state, layout::Intent::kBegun);
  }
  EXPECT_EQ(ledger->intent().state, layout::Intent::kNone);
  fusefs::Change made(ledger.get(), {.unique = 10, .parent = 7, .name = "made"});
  made.happened();
  auto next = successor(*ledger);
  EXPECT_EQ(next->intent().state, layout::Intent::kWhole);
  EXPECT_EQ(next->intent().parent, 7u);
  next->settle(10, Verdict::done);
  auto third = successor(*next);
  EXPECT_EQ(third->verdict(10), Verdict::done);
  EXPECT_EQ(third->verdict(12), Verdict::none);
  third->end(third->begin(10, 1), 10);
  EXPECT_EQ(third->verdict(10), Verdict::none) << "answered";
}

TEST(Ledger, AnAnswerIsTakenBackOnce) {
  auto ledger = fresh();
  ledger->answering(20);
  ledger->counted(5);
  ledger->counted(6);
  ledger->handle(0, 5, O_RDONLY);
  auto next = successor(*ledger);
  next->suspect_answer();
  EXPECT_TRUE(next->take_back(22).nodes.empty());
  auto given = next->take_back(20);
  EXPECT_EQ(given.nodes, (std::vector<std::uint32_t>{5, 6}));
  EXPECT_EQ(given.handle, 1u);
  EXPECT_TRUE(next->take_back(20).nodes.empty());
}

TEST(Listing, APlaceIsOfItsNameAlone) {
  fusefs::Listing before, after;
  for (const char* name : {"a", "b", "c", "d"}) before.add(name, 8, 1);
  for (const char* name : {"d", "new", "a", "c"}) after.add(name, 8, 2);
  before.arrange();
  after.arrange();
  std::map<std::string, std::uint64_t> places;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const auto& item = before.item(i);
    EXPECT_GE(item.place, fusefs::Listing::kFirstPlace);
    EXPECT_EQ(before.after(item.place), i + 1);
    EXPECT_EQ(before.after(item.place - 1), i);
    places[std::string(before.name(item))] = item.place;
  }
  for (std::size_t i = 0; i < after.size(); ++i) {
    const std::string name(after.name(after.item(i)));
    if (name != "new") {
      EXPECT_EQ(after.item(i).place, places[name]) << name;
    }
  }
  EXPECT_EQ(before.after(~0ull), 4u);
}

/// Names can be made to fall together: each still has a place of its own.
TEST(Listing, NamesOfOneHash) {
  fusefs::Listing listing;
  for (int i = 0; i < 300000; ++i) listing.add("f" + std::to_string(i), 8, 1);
  listing.arrange();
  for (std::size_t i = 1; i < listing.size(); ++i)
    ASSERT_LT(listing.item(i - 1).place, listing.item(i).place) << i;
}

TEST(Ledger, MemoryComesBack) {
  auto ledger = fresh();
  const long before = kilobytes(*ledger);
  constexpr std::uint64_t kNodes = 200000;
  std::vector<Ledger::Cell> cells;
  for (std::uint64_t id = 2; id < kNodes; ++id) {
    ledger->describe(id, id, 1);
    cells.push_back(ledger->name(id, 1, "name" + std::to_string(id)));
  }
  const long full = kilobytes(*ledger);
  EXPECT_LE((full - before) * 1024 / static_cast<long>(kNodes), 80);
  for (std::uint64_t id = 2; id < kNodes; ++id) {
    ledger->bury(id);
    ledger->drop_name(cells[id - 2]);
  }
  EXPECT_LE(kilobytes(*ledger), before + 1024);
  EXPECT_EQ(names_in(*successor(*ledger)).size(), 0u);
  EXPECT_LE(kilobytes(*ledger), before + 1024) << "reading has filled the holes";
}

TEST(Ledger, RefusesWhatItDoesNotKnow) {
  EXPECT_FALSE(Ledger::adopt(base::Fd(::memfd_create("empty", MFD_CLOEXEC))).has_value());
  EXPECT_FALSE(Ledger::adopt(base::Fd(::open("/dev/null", O_RDWR | O_CLOEXEC))).has_value());
  base::Fd zeroes(::memfd_create("zeroes", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(zeroes.get(), 4 << 20), 0);
  EXPECT_FALSE(Ledger::adopt(std::move(zeroes)).has_value());
  auto ledger = fresh();
  auto& head = const_cast<layout::Head&>(ledger->head());
  head.version = layout::kVersion + 1;
  auto other = Ledger::adopt(copy_of(ledger->fd()));
  ASSERT_FALSE(other.has_value());
  EXPECT_NE(other.error().message.find("layout " + std::to_string(layout::kVersion + 1) +
                                       " of build a build"),
            std::string::npos)
      << other.error().message;
  head.version = layout::kVersion;
  head.segments[1] = 1;
  EXPECT_FALSE(Ledger::adopt(copy_of(ledger->fd())).has_value()) << "a second head";
  head.segments[1] = 3;
  EXPECT_FALSE(Ledger::adopt(copy_of(ledger->fd())).has_value()) << "beyond the file's end";
}

// Whatever stands in it: a successor may lose nodes, but neither crashes nor runs in circles.
TEST(Ledger, GarbageDoesNoHarm) {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    Layers layers;
    ::mkdir((layers.lower() + "/d").c_str(), 0755);
    write_file(layers.lower() + "/d/f", "x");
    auto ledger = fresh();
    auto kind = [&] { return static_cast<std::uint8_t>(random() % 6); };
    for (std::uint64_t id = 2; id < 40; ++id) {
      ledger->describe(id, id, kind());
      ledger->lookups(id, random() % 3);
      const char* names[] = {"d", "f", "..", "a/b", "", "g"};
      for (unsigned i = 0; i < 1 + random() % 2; ++i)
        ledger->name(id, random() % 40, names[random() % 6]);
      if (random() % 3 == 0) ledger->index(id, random() % 5);
      if (random() % 3 == 0) ledger->handle(random() % 20 + 20 * id, random() % 60, O_RDWR);
    }
    Plan plan{.act = static_cast<fusefs::Act>(random() % 7), .unique = 4};
    plan.parent = random() % 40;
    plan.new_parent = random() % 40;
    plan.node = random() % 40;
    plan.target = random() % 40;
    plan.handle = random() % 800;
    plan.name = "d";
    plan.new_name = "f";
    ledger->intend(plan);
    auto reactor = ring::Reactor::make();
    auto fs = overlay(layers, **reactor);
    ASSERT_TRUE(fs);
    auto next = successor(*ledger);
    const_cast<layout::Head&>(next->head()).layers = fs->tell_layers();
    fs->keep(next.get());
    fs->restore({});
    for (fusefs::NodeId id = 1; id < 60; ++id)
      if (Node* node = fs->nodes().find(id)) {
        if (fs->awaken(node) && !node->gone) (void)fs->lookup(node, "f");
      }
    (void)fs->lookup(fs->nodes().root(), "d");
    (void)fs->unlink(fs->nodes().root(), "f");
  }
}

}  // namespace
}  // namespace fusefs_test
