// Calls made again by the task itself, on the real kernel. Root.
#include "seccomp/injection.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include "tests/supervise/rig.hpp"

namespace supervise_test {
namespace {

using seccomp::Answer;
using seccomp::Notice;
using seccomp::Ran;
using seccomp::Rerun;

const std::vector<int> kSetIds = {SYS_setuid,   SYS_setgid,    SYS_setreuid,
                                  SYS_setregid, SYS_setresuid, SYS_setresgid};

Start pool_start(bool killable = false) {
  return {kSetIds, killable, kPool};
}

class Injection : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Wait, Injection, testing::Bool(),
                         [](const auto& one) { return one.param ? "Killable" : "Interruptible"; });

TEST_P(Injection, TheIdIsReallyChanged) {
  Rig rig;
  int status = rig.run(
      pool_start(GetParam()),
      [] {
        if (::setresgid(60000, 60000, 60000) != 0) return 1;
        if (::setresuid(60000, 60000, 60000) != 0) return 2;
        unsigned r = 0, e = 0, s = 0;
        if (::getresuid(&r, &e, &s) != 0 || r != kSlot || e != kSlot || s != kSlot) return 3;
        if (::getresgid(&r, &e, &s) != 0 || r != kSlot || e != kSlot || s != kSlot) return 4;
        if (status_line(::getpid(), "CapEff") != "0000000000000000") return 5;
        if (status_line(::getpid(), "SigBlk") != "0000000000000000") return 6;
        if (status_line(::getpid(), "TracerPid") != "0") return 7;
        return ::setuid(0) == 0 ? 8 : 0;
      },
      to_slot);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(rig.ran, (std::vector<Ran>{Ran::done, Ran::done}));
  EXPECT_EQ(rig.resumed, 2u);
}

}  // namespace
}  // namespace supervise_test
