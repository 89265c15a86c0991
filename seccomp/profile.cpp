#include "seccomp/profile.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV  // Linux 5.19
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

namespace seccomp {
namespace {

using Context = std::unique_ptr<void, void (*)(scmp_filter_ctx)>;

bool chosen(const Row& row, Profile profile) {
  return (row.profiles & static_cast<std::uint8_t>(profile)) != 0;
}

/// One of the architectures whose programs the machine runs.
struct Side {
  std::uint32_t arch;
  int Row::*number;  // nullptr: none of its calls is translated
};

#if defined(__x86_64__)
constexpr Side kSides[] = {
    {SCMP_ARCH_X86_64, &Row::x86_64}, {SCMP_ARCH_X86, &Row::i386}, {SCMP_ARCH_X32, nullptr}};
#elif defined(__aarch64__)
constexpr Side kSides[] = {{SCMP_ARCH_AARCH64, &Row::aarch64}, {SCMP_ARCH_ARM, nullptr}};
#else
#error "seccomp/calls.cpp has no numbers for this architecture"
#endif

std::vector<scmp_arg_cmp> comparisons(std::span<const Condition> all) {
  std::vector<scmp_arg_cmp> list;
  for (const Condition& one : all) {
    scmp_arg_cmp compare{};
    compare.arg = one.argument;
    compare.op = one.mask == 0 ? SCMP_CMP_EQ : SCMP_CMP_MASKED_EQ;
    compare.datum_a = one.mask == 0 ? one.value : one.mask;
    compare.datum_b = one.mask == 0 ? 0 : one.value;
    list.push_back(compare);
  }
  return list;
}

// libseccomp knows calls by the numbers of the native architecture, or by pseudo numbers.
int add_rule(scmp_filter_ctx filter, std::uint32_t action, int call, const Row& row) {
  if (row.when.empty()) return ::seccomp_rule_add_array(filter, action, call, 0, nullptr);
  for (std::span<const Condition> group : row.when) {
    auto list = comparisons(group);
    int error = ::seccomp_rule_add_array(filter, action, call, static_cast<unsigned>(list.size()),
                                         list.data());
    if (error != 0) return error;
  }
  return 0;
}

bool exists_there(const char* name, std::uint32_t arch) {
  int number = ::seccomp_syscall_resolve_name_arch(arch, name);
  return number != __NR_SCMP_ERROR && number >= 0;
}

int add_side(scmp_filter_ctx filter, const Side& side, Profile profile) {
  for (const Row& row : kCalls) {
    if (!chosen(row, profile)) continue;
    const std::string name(row.name);
    const int number = side.number ? row.*side.number : kNone;
    int call = ::seccomp_syscall_resolve_name(name.c_str());
    // What the library has not heard of has the native number only.
    if (call == __NR_SCMP_ERROR && side.arch == kSides[0].arch) call = number;
    if (call == __NR_SCMP_ERROR || call == kNone) continue;
    if (number == kNone && !exists_there(name.c_str(), side.arch)) continue;
    const bool notified = row.action == Action::notify && number != kNone;
    int error = add_rule(filter, notified ? SCMP_ACT_NOTIFY : SCMP_ACT_ERRNO(ENOSYS), call, row);
    if (error != 0) return error;
  }
  return 0;
}

// A filter for each, put together: a rule added for all at once would be translated by name, and
// the same name means a call with 16-bit ids to 32-bit programs.
base::Result<Context> make_filter(Profile profile) {
  Context whole(nullptr, ::seccomp_release);
  for (const Side& side : kSides) {
    Context part(::seccomp_init(SCMP_ACT_ALLOW), ::seccomp_release);
    if (!part) return base::fail(ENOMEM);
    if (side.arch != kSides[0].arch) {
      if (int error = ::seccomp_arch_add(part.get(), side.arch); error != 0)
        return base::fail(-error);
      if (int error = ::seccomp_arch_remove(part.get(), kSides[0].arch); error != 0)
        return base::fail(-error);
    }
    // Programs of yet another architecture can not be told apart from ours by numbers.
    ::seccomp_attr_set(part.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    if (int error = add_side(part.get(), side, profile); error != 0) return base::fail(-error);
    if (!whole) {
      whole = std::move(part);
      continue;
    }
    if (int error = ::seccomp_merge(whole.get(), part.get()); error != 0) return base::fail(-error);
    (void)part.release();  // it belongs to the other now
  }
  return whole;
}

base::Result<std::vector<sock_filter>> program_of(scmp_filter_ctx filter) {
  base::Fd file(::memfd_create("seccomp", MFD_CLOEXEC));
  TRY_VOID(base::check(file.get()));
  if (int error = ::seccomp_export_bpf(filter, file.get()); error != 0) return base::fail(-error);
  struct stat status {};
  TRY_VOID(base::check(::fstat(file.get(), &status)));
  const auto size = static_cast<std::size_t>(status.st_size);
  std::vector<sock_filter> program(size / sizeof(sock_filter));
  if (::pread(file.get(), program.data(), size, 0) != static_cast<ssize_t>(size))
    return base::fail(EIO);
  return program;
}

}  // namespace

std::vector<Rule> rules_of(Profile profile) {
  std::vector<Rule> rules;
  Rule always{{}, true, {}}, absent{{}, false, {}};
  for (const Row& row : kCalls) {
    if (!chosen(row, profile)) continue;
    const bool notify = row.action == Action::notify;
    if (row.when.empty()) (notify ? always : absent).names.emplace_back(row.name);
    for (std::span<const Condition> group : row.when)
      rules.push_back({{std::string(row.name)}, notify, {group.begin(), group.end()}});
  }
  for (Rule* one : {&absent, &always})
    if (!one->names.empty()) rules.insert(rules.begin(), std::move(*one));
  return rules;
}

base::Result<std::vector<sock_filter>> filter_program(Profile profile) {
  TRY(filter, make_filter(profile));
  return program_of(filter.get());
}

base::Result<base::Fd> load_filter(Profile profile, bool killable) {
  TRY(program, filter_program(profile));
  sock_fprog all{static_cast<unsigned short>(program.size()), program.data()};
  unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
  if (killable) flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  base::Fd listener(static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &all)));
  if (!listener.valid()) return base::fail_errno();
  return listener;
}

// Without a program: flags that it does not know are what the kernel complains of first.
bool has_wait_killable() {
  const unsigned long flags =
      SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, nullptr) != 0 && errno == EFAULT;
}

}  // namespace seccomp
