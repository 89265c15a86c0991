#include "seccomp/registers.hpp"

#include <elf.h>
#include <linux/audit.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

namespace seccomp {
namespace {

// Results that only the kernel sees (include/linux/errno.h): ERESTARTSYS, ERESTARTNOINTR,
// ERESTARTNOHAND, ERESTART_RESTARTBLOCK.
bool asks_for_restart(std::int64_t result) {
  return result == -512 || result == -513 || result == -514 || result == -516;
}

}  // namespace

#if defined(__x86_64__)

namespace {

using Field = unsigned long long user_regs_struct::*;
constexpr Field kWide[] = {&user_regs_struct::rdi, &user_regs_struct::rsi, &user_regs_struct::rdx,
                           &user_regs_struct::r10, &user_regs_struct::r8,  &user_regs_struct::r9};
constexpr Field kNarrow[] = {&user_regs_struct::rbx, &user_regs_struct::rcx,
                             &user_regs_struct::rdx, &user_regs_struct::rsi,
                             &user_regs_struct::rdi, &user_regs_struct::rbp};

}  // namespace

std::optional<Registers> Registers::of(pid_t stopped, std::uint32_t arch) {
  Registers registers;
  registers.narrow_ = arch == AUDIT_ARCH_I386;
  if (::ptrace(PTRACE_GETREGS, stopped, nullptr, &registers.all_) != 0) return std::nullopt;
  return registers;
}

bool Registers::write(pid_t stopped) const {
  return ::ptrace(PTRACE_SETREGS, stopped, nullptr, &all_) == 0;
}

std::uint64_t Registers::argument(unsigned number) const {
  return all_.*(narrow_ ? kNarrow : kWide)[number];
}

void Registers::set_argument(unsigned number, std::uint64_t value) {
  all_.*(narrow_ ? kNarrow : kWide)[number] = value;
}

std::int64_t Registers::result() const {
  return narrow_ ? static_cast<std::int32_t>(all_.rax) : static_cast<std::int64_t>(all_.rax);
}

void Registers::set_result(std::int64_t result) {
  all_.rax = static_cast<std::uint64_t>(result);
}

bool Registers::restarts(const Notice& call, const std::array<std::uint64_t, 6>& arguments) const {
  return static_cast<int>(all_.orig_rax) == call.number && asks_for_restart(result()) &&
         stands_behind(call, arguments);
}

void Registers::finish(const Notice&, std::int64_t result) {
  set_result(result);
}

bool Registers::stands_behind(const Notice& call,
                              const std::array<std::uint64_t, 6>& arguments) const {
  // A 64-bit program can make 32-bit calls, and then has more in its registers than is told of.
  const std::uint64_t told = narrow_ ? UINT32_MAX : UINT64_MAX;
  for (unsigned i = 0; i < 6; ++i)
    if ((argument(i) ^ arguments[i]) & told) return false;
  return all_.rip == call.instruction;
}

#elif defined(__aarch64__)

// Not tried on a machine; written after arch/arm64/kernel/{signal,syscall,ptrace}.c. The first
// argument and the result share x0. On the way out do_signal() has undone the call already when it
// stops: x0 is the argument again and the program counter stands on the instruction itself.

std::optional<Registers> Registers::of(pid_t stopped, std::uint32_t) {
  Registers registers;
  iovec part{&registers.all_, sizeof registers.all_};
  if (::ptrace(PTRACE_GETREGSET, stopped, NT_PRSTATUS, &part) != 0) return std::nullopt;
  return registers;
}

bool Registers::write(pid_t stopped) const {
  iovec part{const_cast<user_regs_struct*>(&all_), sizeof all_};
  return ::ptrace(PTRACE_SETREGSET, stopped, NT_PRSTATUS, &part) == 0;
}

std::uint64_t Registers::argument(unsigned number) const {
  return all_.regs[number];
}

void Registers::set_argument(unsigned number, std::uint64_t value) {
  all_.regs[number] = value;
}

std::int64_t Registers::result() const {
  return static_cast<std::int64_t>(all_.regs[0]);
}

void Registers::set_result(std::int64_t result) {
  all_.regs[0] = static_cast<std::uint64_t>(result);
}

bool Registers::restarts(const Notice& call, const std::array<std::uint64_t, 6>& arguments) const {
  for (unsigned i = 0; i < 6; ++i)
    if (argument(i) != arguments[i]) return false;
  return all_.pc == call.instruction - 4 && static_cast<int>(all_.regs[8]) == call.number;
}

void Registers::finish(const Notice& call, std::int64_t result) {
  all_.pc = call.instruction;
  set_result(result);
}

bool Registers::stands_behind(const Notice& call,
                              const std::array<std::uint64_t, 6>& arguments) const {
  for (unsigned i = 1; i < 6; ++i)
    if (argument(i) != arguments[i]) return false;
  return all_.pc == call.instruction;
}

#else
#error "no registers for this architecture: see seccomp/registers.hpp"
#endif

bool Registers::cut_short() const {
  return asks_for_restart(result());
}

}  // namespace seccomp
