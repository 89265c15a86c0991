// Processes of one user agree on live slots: here two LiveSlots, each with a journal of its own.
#include "daemon/slot_journal.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

namespace serving {
namespace {

using identity::Id;
constexpr const char* kMap = "0 1000 1\n1 100000 1999\n65534 101999 2\n";
constexpr std::size_t kSlots = 999;
constexpr Id kSameSlot[] = {60000, 5001};  // both hash to 1633

class SlotJournalTest : public testing::Test {
 protected:
  void SetUp() override {
    char text[] = "/tmp/slots.XXXXXX";
    dir_ = ::mkdtemp(text);
    ::setenv("XDG_RUNTIME_DIR", dir_.c_str(), 1);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  struct Process {
    explicit Process(identity::Collisions mode = identity::Collisions::separate,
                     SlotUse use = SlotUse::serve)
        : journal(SlotJournal::open("uid", "test", kSlots, use)),
          slots(*identity::Pool::parse(kMap), identity::Pool::parse(kMap)->hash_range(),
                identity::Rule::wide, {}, mode) {
      slots.share_through(journal.get());
      slots.refresh();
    }
    std::unique_ptr<SlotJournal> journal;
    identity::LiveSlots slots;
  };
  std::string dir_;
};

TEST_F(SlotJournalTest, TwoProcessesGiveTheSameSlotsInAnyOrder) {
  Process one, two;
  ASSERT_TRUE(one.journal && two.journal);
  Id first = one.slots.present(kSameSlot[0]);
  Id second = two.slots.present(kSameSlot[1]);
  EXPECT_EQ(first, 1633u);
  EXPECT_NE(second, first);
  EXPECT_EQ(one.slots.present(kSameSlot[1]), second);
  EXPECT_EQ(two.slots.present(kSameSlot[0]), first);
}

TEST_F(SlotJournalTest, AnIdOfThePoolDoesNotTakeWhatAnotherProcessGave) {
  Process one, two;
  EXPECT_EQ(one.slots.present(60000), 1633u);
  EXPECT_EQ(two.slots.truth(1633), 60000u);
  Id own = two.slots.present(1633);
  EXPECT_NE(own, 1633u);
  EXPECT_EQ(one.slots.truth(own), 1633u);
  EXPECT_EQ(one.slots.present(1633), own);
}

TEST_F(SlotJournalTest, ManyIdsNeverShare) {
  Process processes[3];
  std::set<Id> seen;
  for (Id i = 0; i < 300; ++i) {
    Id slot = processes[i % 3].slots.present(100000 + i);
    EXPECT_TRUE(seen.insert(slot).second) << 100000 + i;
  }
  for (Id i = 0; i < 300; ++i)
    EXPECT_EQ(processes[0].slots.present(100000 + i), processes[1].slots.present(100000 + i));
}

TEST_F(SlotJournalTest, OutlivesItsUsers) {
  {
    Process one;
    EXPECT_EQ(one.slots.present(kSameSlot[1]), 1633u);
    for (Id i = 0; i < 400; ++i) one.slots.present(100000 + i);
  }
  Process later;
  EXPECT_EQ(later.slots.truth(1633), kSameSlot[1]);
  EXPECT_EQ(later.slots.free_slots(), kSlots - 401);
}

TEST_F(SlotJournalTest, AClaimIsSeenByOthersAndOverridesWhatTheyShow) {
  Process one(identity::Collisions::native), two(identity::Collisions::native);
  EXPECT_EQ(one.slots.present(60000), 1633u);
  EXPECT_EQ(one.slots.present(1633), 1633u) << "native";
  Id moved = two.slots.claim(1633);
  EXPECT_NE(moved, 1633u);
  EXPECT_EQ(one.slots.present(1633), 1633u) << "not told yet";
  one.slots.refresh();
  EXPECT_EQ(one.slots.present(1633), moved);
  EXPECT_EQ(one.slots.take_moved(), std::vector<Id>{1633});
  EXPECT_EQ(one.slots.claim(1633), moved);
  Process later(identity::Collisions::native);
  EXPECT_EQ(later.slots.present(1633), moved);
}

TEST_F(SlotJournalTest, ALookNeverBeginsAnew) {
  {
    Process one;
    for (Id i = 0; i < 600; ++i) one.slots.present(100000 + i);
  }
  Process look(identity::Collisions::separate, SlotUse::look);
  EXPECT_EQ(look.slots.free_slots(), kSlots - 600);
}

TEST_F(SlotJournalTest, BeginsAnewWhenNobodyIsLeftAndHalfIsGone) {
  {
    Process one;
    EXPECT_EQ(one.slots.present(kSameSlot[1]), 1633u);
    Process two;
    EXPECT_NE(two.slots.present(kSameSlot[0]), 1633u);
    for (Id i = 0; i < 500; ++i) two.slots.present(100000 + i);
    Process third;
    EXPECT_EQ(third.slots.truth(1633), kSameSlot[1]) << "somebody is left";
  }
  Process later;
  EXPECT_EQ(later.slots.present(kSameSlot[0]), 1633u);
}

TEST_F(SlotJournalTest, GarbageIsPassedOver) {
  Process one;
  for (const auto& file : std::filesystem::directory_iterator(dir_ + "/usernetes-identity"))
    std::ofstream(file.path(), std::ios::app)
        << "nonsense\n0 1633\n60000 5\n60000 65534\n4294967295 1634\n70000 1700\n12";
  Process two;
  EXPECT_EQ(two.slots.present(60000), 1633u);
  EXPECT_EQ(two.slots.present(70000), 1700u);
}

TEST_F(SlotJournalTest, ADirectoryThatOthersMayWriteIsNotUsed) {
  ::mkdir((dir_ + "/usernetes-identity").c_str(), 0777);
  ::chmod((dir_ + "/usernetes-identity").c_str(), 0777);
  EXPECT_EQ(SlotJournal::open("uid", "test", kSlots), nullptr);
  ::unsetenv("XDG_RUNTIME_DIR");
  EXPECT_EQ(SlotJournal::open("uid", "test", kSlots), nullptr);
}

}  // namespace
}  // namespace serving
