#include "seccomp/calls.hpp"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <seccomp.h>
#include <sys/syscall.h>

#include <map>
#include <set>
#include <string>

namespace {

using namespace seccomp;

using Number = std::pair<std::uint32_t, int>;

int known(std::uint32_t arch, std::string_view name) {
  // Also parts of socketcall and ipc: libseccomp tells none of their numbers (asm/unistd_32.h
  // does).
  static const std::map<std::string_view, int> direct{
      {"getsockopt", 365}, {"shmctl", 396}, {"semctl", 394}, {"msgctl", 402}};
  if (const auto found = direct.find(name); arch == SCMP_ARCH_X86 && found != direct.end())
    return found->second;
  const int number = seccomp_syscall_resolve_name_arch(arch, std::string(name).c_str());
  return number < 0 ? kNone : number;
}

// libseccomp has its own list of numbers: what a filter by name will catch is what we expect.
TEST(Calls, NumbersAreThoseOfTheNames) {
  for (const Row& row : kCalls) {
    if (row.x86_64 != kNone || row.aarch64 != kNone) {
      EXPECT_EQ(row.x86_64, known(SCMP_ARCH_X86_64, row.name)) << row.name;
      EXPECT_EQ(row.aarch64, known(SCMP_ARCH_AARCH64, row.name)) << row.name;
    }
    if (row.i386 != kNone) {
      EXPECT_EQ(row.i386, known(SCMP_ARCH_X86, row.name)) << row.name;
    }
  }
}

// A rule by name also catches the 32-bit call of that name. It must not reach a handler that reads
// its arguments as those of another call: it is the row itself, refused, or only tells something.
TEST(Calls, NamesOf32BitProgramsAreNotMistaken) {
  const std::set<std::string_view> harmless{"stat", "lstat", "fstat"};  // 16-bit ids, read only
  for (const Row& row : kCalls) {
    const int number = known(SCMP_ARCH_X86, row.name);
    if (number == kNone) continue;
    const Row* found = find_call(AUDIT_ARCH_I386, number);
    if (harmless.contains(row.name)) {
      EXPECT_EQ(found, nullptr) << row.name;
      continue;
    }
    ASSERT_NE(found, nullptr) << row.name;
    EXPECT_EQ(found->name, row.name);
    if (row.i386 == kNone) {
      EXPECT_EQ(found->action, Action::absent) << row.name;
    }
  }
}

TEST(Calls, EachIsFoundByItsNumber) {
  for (const Row& row : kCalls)
    for (const auto& [arch, number] :
         {Number{AUDIT_ARCH_X86_64, row.x86_64}, std::pair{AUDIT_ARCH_AARCH64, row.aarch64},
          Number{AUDIT_ARCH_I386, row.i386}}) {
      if (number == kNone) continue;
      const Row* found = find_call(arch, number);
      ASSERT_NE(found, nullptr) << row.name;
      EXPECT_EQ(found->name, row.name);
      EXPECT_EQ(found->now, row.now);
      EXPECT_EQ(found->later, row.later);
    }
  EXPECT_EQ(find_call(AUDIT_ARCH_X86_64, SYS_read), nullptr);
  EXPECT_EQ(find_call(AUDIT_ARCH_X86_64, -1), nullptr);
  EXPECT_EQ(find_call(AUDIT_ARCH_X86_64, 100000), nullptr);
  EXPECT_EQ(find_call(AUDIT_ARCH_X86_64, SYS_setuid)->name, "setuid");
  EXPECT_EQ(find_call(AUDIT_ARCH_AARCH64, SYS_setuid), nullptr);  // 105 is init_module there
  EXPECT_EQ(find_call(AUDIT_ARCH_X86_64, SYS_setuid | 0x40000000)->action, Action::absent);
  EXPECT_EQ(find_call(AUDIT_ARCH_I386, SYS_setuid), nullptr);  // 105 is getitimer there
}

TEST(Calls, EachCanBeAnsweredAndCaught) {
  for (const Row& row : kCalls) {
    EXPECT_NE(row.profiles, 0) << row.name;
    const bool notifies = row.action == Action::notify;
    EXPECT_EQ(row.now != nullptr || row.later != nullptr, notifies) << row.name;
    EXPECT_FALSE(row.now && row.later) << row.name;
    for (const auto& group : row.when) {
      std::set<int> arguments;
      for (const Condition& condition : group) {
        EXPECT_TRUE(arguments.insert(condition.argument).second) << row.name;
        EXPECT_EQ(condition.value & condition.mask, condition.value) << row.name;
      }
    }
  }
}

TEST(Calls, ProfilesHaveWhatTheyPromise) {
  const auto in = [](std::string_view name, Profile profile) {
    for (const Row& row : kCalls)
      if (row.name == name && (row.profiles & static_cast<std::uint8_t>(profile))) return true;
    return false;
  };
  for (auto name : {"setuid", "getuid", "setgroups", "fchownat", "getsockopt", "io_uring_setup"}) {
    EXPECT_TRUE(in(name, Profile::basic)) << name;
    EXPECT_TRUE(in(name, Profile::full)) << name;
  }
  for (auto name : {"newfstatat", "statx", "getxattr"}) {
    EXPECT_FALSE(in(name, Profile::basic)) << name;
    EXPECT_TRUE(in(name, Profile::full)) << name;
  }
  for (auto name : {"fchownat", "statx", "mknodat"}) EXPECT_TRUE(in(name, Profile::engine)) << name;
  for (auto name : {"getuid", "setuid", "getsockopt", "getxattr"})
    EXPECT_FALSE(in(name, Profile::engine)) << name;
}

}  // namespace
