// A supervisor that dies in the middle of an injection, and the one after it. Real kernel, root.
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/supervise/rig.hpp"

namespace supervise_test {
namespace {

using seccomp::Answer;
using seccomp::Injected;
using seccomp::Notice;
using seccomp::Rerun;

// What the ledger would have.
struct Left {
  Injected injected;
  bool begun = false;
  std::uint64_t received = 0;  // a notification that nobody has answered
};

enum class Death { before_it_is_received, before_it_is_answered, behind_the_call };

ring::Task<Answer> to_slot_and_die(Rig& rig, Notice notice) {
  Rerun rerun;
  for (std::size_t i = 0; i < 3; ++i) rerun.arguments[i] = kSlot;
  rerun.after = [](std::int64_t) -> ring::Task<std::int64_t> { ::_exit(0); };
  Answer answer = co_await rig.again(notice, std::move(rerun));
  co_return answer;
}

// In a process of its own.
[[noreturn]] void be_predecessor(const Rig& other, Death death, Left& left) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Rig rig;
  rig.adopt(other);
  rig.injector.on_begin = [&](const Injected& injected) {
    left.injected = injected;
    left.begun = true;
  };
  if (death == Death::before_it_is_received)
    rig.on_poll = [&] {
      if (left.begun) ::_exit(0);
    };
  if (death == Death::before_it_is_answered)
    rig.on_resume = [&](const Notice& notice) {
      left.received = notice.id;
      ::_exit(0);
    };
  rig.serve(to_slot_and_die);
  ::_exit(1);
}

int tracee() {
  if (::syscall(SYS_setresuid, 60000, 60000, 60000) != 0) return 1;
  // Behind the call it runs on until somebody looks after it.
  for (int i = 0; i < 5000 && status_line(::getpid(), "SigBlk") != "0000000000000000"; ++i)
    ::usleep(1000);
  if (status_line(::getpid(), "SigBlk") != "0000000000000000") return 2;
  if (status_line(::getpid(), "TracerPid") != "0") return 3;
  unsigned r = 0, e = 0, s = 0;
  return ::getresuid(&r, &e, &s) == 0 && r == kSlot && e == kSlot && s == kSlot ? 0 : 4;
}

using Case = std::tuple<bool, Death>;
std::string name_of(const testing::TestParamInfo<Case>& one) {
  static constexpr const char* kNames[] = {"BeforeItIsReceived", "BeforeItIsAnswered",
                                           "BehindTheCall"};
  return std::string(std::get<0>(one.param) ? "Killable" : "Interruptible") +
         kNames[static_cast<int>(std::get<1>(one.param))];
}

class Repair : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Dies, Repair,
                         testing::Combine(testing::Bool(),
                                          testing::Values(Death::before_it_is_received,
                                                          Death::before_it_is_answered,
                                                          Death::behind_the_call)),
                         name_of);

TEST_P(Repair, TheSuccessorPutsItRight) {
  auto [killable, death] = GetParam();
  Rig rig;
  auto& left = shared<Left>();
  rig.begin({{SYS_setresuid}, killable, kPool}, tracee);
  pid_t predecessor = ::fork();
  if (predecessor == 0) be_predecessor(rig, death, left);
  int status = 0;
  ::waitpid(predecessor, &status, 0);
  ASSERT_EQ(status, 0);
  ASSERT_TRUE(left.begun);
  ++rig.begun;
  ring::spawn(rig.injector.repair(left.injected, [&] { rig.restart(left.received); }));
  rig.serve(to_slot);
  EXPECT_EQ(rig.end(), 0);
  EXPECT_EQ(rig.ran.size(), death == Death::behind_the_call ? 0u : 1u);
}

}  // namespace
}  // namespace supervise_test
