// Owns: the registers of a thread that stands in a ptrace stop, seen as those of a system call: the
// one place that knows how an architecture passes arguments and restarts calls. Called by: the
// injector. Never: touches a thread that does not stand.
#pragma once
#include <sys/types.h>
#include <sys/user.h>

#include <array>
#include <cstdint>
#include <optional>

#include "seccomp/notice.hpp"

namespace seccomp {

class Registers {
 public:
  /// Nothing: the thread is gone. `arch`: of the call, AUDIT_ARCH_*.
  static std::optional<Registers> of(pid_t stopped, std::uint32_t arch);
  /// False: the thread is gone.
  bool write(pid_t stopped) const;

  /// Whether the result takes the place of this argument.
  static bool holds_result([[maybe_unused]] unsigned number) {
#if defined(__aarch64__)
    return number == 0;
#else
    return false;
#endif
  }

  std::uint64_t argument(unsigned number) const;
  void set_argument(unsigned number, std::uint64_t value);
  /// Behind a call: what it returns, or -errno.
  std::int64_t result() const;
  void set_result(std::int64_t result);

  /// In a stop on the way out of the kernel: the call has been cut short and is about to be made
  /// once more, from the same place, with these arguments.
  bool restarts(const Notice& call, const std::array<std::uint64_t, 6>& arguments) const;
  /// In the same stop: the call is not made once more, it returns this.
  void finish(const Notice& call, std::int64_t result);
  /// The next instruction is the one behind the call, and the arguments are (all but the one that
  /// has become the result) as they were passed.
  bool stands_behind(const Notice& call, const std::array<std::uint64_t, 6>& arguments) const;
  /// In a stop at the exit of a call: it has been cut short, and its result asks for a restart.
  bool cut_short() const;

 private:
  user_regs_struct all_{};
  bool narrow_ = false;  // a call of a 32-bit program
};

}  // namespace seccomp
