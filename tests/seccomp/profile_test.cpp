// The filter as the kernel would run it: every row of the table, by every architecture's number,
// and with arguments next to those of its conditions.
#include "seccomp/profile.hpp"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace seccomp {
namespace {

constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW, kAsk = SECCOMP_RET_USER_NOTIF,
                        kAbsent = SECCOMP_RET_ERRNO | ENOSYS;
constexpr Profile kProfiles[] = {Profile::basic, Profile::full, Profile::engine};

// Classic BPF as net/core/filter.c has it, as far as filters for system calls may use it.
std::uint32_t judge(const std::vector<sock_filter>& program, const seccomp_data& data) {
  std::uint32_t a = 0;
  for (std::size_t at = 0; at < program.size(); ++at) {
    const sock_filter& f = program[at];
    auto jump = [&](bool yes) { at += yes ? f.jt : f.jf; };
    switch (f.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&a, reinterpret_cast<const char*>(&data) + f.k, 4);
        break;
      case BPF_ALU | BPF_AND | BPF_K: a &= f.k; break;
      case BPF_JMP | BPF_JA: at += f.k; break;
      case BPF_JMP | BPF_JEQ | BPF_K: jump(a == f.k); break;
      case BPF_JMP | BPF_JGE | BPF_K: jump(a >= f.k); break;
      case BPF_JMP | BPF_JGT | BPF_K: jump(a > f.k); break;
      case BPF_JMP | BPF_JSET | BPF_K: jump((a & f.k) != 0); break;
      case BPF_RET | BPF_K: return f.k;
      default: ADD_FAILURE() << "instruction " << f.code; return 0;
    }
  }
  ADD_FAILURE() << "past the end";
  return 0;
}

seccomp_data call_of(std::uint32_t arch, int number, std::uint64_t fill = 0) {
  seccomp_data data{};
  data.arch = arch;
  data.nr = number;
  std::fill(std::begin(data.args), std::end(data.args), fill);
  return data;
}

bool holds(std::span<const Condition> group, const seccomp_data& data) {
  return std::all_of(group.begin(), group.end(), [&](const Condition& one) {
    const std::uint64_t mask = one.mask == 0 ? ~std::uint64_t{0} : one.mask;
    return (data.args[one.argument] & mask) == one.value;
  });
}

// What the table says, read without any of the code under test.
std::uint32_t expected(Profile profile, int Row::*number, const seccomp_data& data) {
  std::uint32_t verdict = kAllow;
  for (const Row& row : kCalls) {
    if (row.*number != data.nr || !(row.profiles & static_cast<std::uint8_t>(profile))) continue;
    bool asked = row.when.empty();
    for (auto group : row.when) asked |= holds(group, data);
    if (asked) verdict = row.action == Action::notify ? kAsk : kAbsent;
  }
  return verdict;
}

struct Side {
  std::uint32_t arch;
  int Row::*number;
};
constexpr Side kSides[] = {
#if defined(__x86_64__)
    {AUDIT_ARCH_X86_64, &Row::x86_64}, {AUDIT_ARCH_I386, &Row::i386}
#else
    {AUDIT_ARCH_AARCH64, &Row::aarch64}
#endif
};

// Arguments that fulfil a group, then each of its bits turned once.
std::vector<seccomp_data> around(const Row& row, seccomp_data data) {
  std::vector<seccomp_data> all = {data};
  for (auto group : row.when) {
    for (std::uint64_t upper : {std::uint64_t{0}, std::uint64_t{0xdeadbeef} << 32}) {
      seccomp_data hit = data;
      for (const Condition& one : group)
        hit.args[one.argument] = one.value | (one.mask == 0 ? 0 : upper & ~one.mask);
      all.push_back(hit);
      for (const Condition& one : group)
        for (int bit = 0; bit < 64; ++bit) {
          seccomp_data near = hit;
          near.args[one.argument] ^= std::uint64_t{1} << bit;
          all.push_back(near);
        }
    }
  }
  return all;
}

TEST(Profile, IsWhatTheTableSays) {
  for (Profile profile : kProfiles) {
    auto program = filter_program(profile);
    ASSERT_TRUE(program) << program.error().value;
    ASSERT_LE(program->size(), std::size_t{BPF_MAXINSNS});
    for (const Side& side : kSides)
      for (const Row& row : kCalls) {
        if (row.*side.number == kNone) continue;
        for (const seccomp_data& data : around(row, call_of(side.arch, row.*side.number)))
          ASSERT_EQ(judge(*program, data), expected(profile, side.number, data))
              << row.name << " arch " << std::hex << side.arch << " args " << data.args[0] << " "
              << data.args[1] << " " << data.args[2] << " profile " << static_cast<int>(profile);
      }
  }
}

TEST(Profile, LetsAllElseThrough) {
  for (Profile profile : kProfiles) {
    auto program = filter_program(profile).value();
    std::set<int> ours;
    for (const Row& row : kCalls) ours.insert(row.*kSides[0].number);
    for (int number = 0; number < 600; ++number)
      if (!ours.contains(number))
        ASSERT_EQ(judge(program, call_of(kSides[0].arch, number, 1)), kAllow) << number;
  }
}

#if defined(__x86_64__)
TEST(Profile, KnowsTheOtherAbis) {
  auto program = filter_program(Profile::basic).value();
  constexpr int kX32 = 0x40000000;
  EXPECT_EQ(judge(program, call_of(AUDIT_ARCH_X86_64, kX32 | SYS_setuid)), kAbsent);
  EXPECT_EQ(judge(program, call_of(AUDIT_ARCH_X86_64, kX32 | SYS_getuid)), kAbsent);
  EXPECT_EQ(judge(program, call_of(AUDIT_ARCH_X86_64, kX32 | SYS_read)), kAllow);
  for (int narrow : {23, 24, 46, 47, 70, 80, 81, 164, 165, 138, 182, 16, 95})
    EXPECT_EQ(judge(program, call_of(AUDIT_ARCH_I386, narrow)), kAbsent) << narrow;
  for (int wide : {199, 213, 208, 206, 205, 212})
    EXPECT_EQ(judge(program, call_of(AUDIT_ARCH_I386, wide)), kAsk) << wide;
  EXPECT_EQ(judge(program, call_of(AUDIT_ARCH_I386, 3)), kAllow) << "read";
  EXPECT_EQ(judge(program, call_of(AUDIT_ARCH_I386, 425)), kAbsent) << "io_uring_setup";
}
#endif

TEST(Profile, RulesNameEachCallOnceOrUnderConditions) {
  for (Profile profile : kProfiles) {
    std::set<std::string> always;
    for (const Rule& rule : rules_of(profile))
      for (const std::string& name : rule.names) {
        if (rule.all.empty()) EXPECT_TRUE(always.insert(name).second) << name;
        std::set<unsigned> arguments;
        for (const Condition& one : rule.all)
          EXPECT_TRUE(arguments.insert(one.argument).second) << name << ": the library's limit";
      }
    for (const Rule& rule : rules_of(profile))
      if (!rule.all.empty())
        for (const std::string& name : rule.names) EXPECT_FALSE(always.contains(name)) << name;
    EXPECT_TRUE(always.contains("io_uring_setup"));
  }
}

// In a child: there it is loaded, a second one is not, and who has no_new_privs needs no privilege.
TEST(Profile, IsLoadedOnce) {
  pid_t child = ::fork();
  if (child == 0) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ::_exit(1);
    auto first = load_filter(Profile::basic, false);
    if (!first || !first->valid()) ::_exit(2);
    auto second = load_filter(Profile::engine, false);
    if (second || second.error().value != EBUSY) ::_exit(3);
    if (::syscall(SYS_io_uring_setup, 1, nullptr) != -1 || errno != ENOSYS) ::_exit(4);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(WIFEXITED(status));
}

}  // namespace
}  // namespace seccomp
