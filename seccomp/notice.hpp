// Owns: the words of this folder: a notification, its answer. Called by: everything here and
// daemon/supervision. Never: touches the kernel.
#pragma once
#include <sys/types.h>

#include <array>
#include <cstdint>

namespace seccomp {

/// What the kernel tells of a call that waits (struct seccomp_notif, seccomp_unotify(2)).
struct Notice {
  std::uint64_t id = 0;  // unique for its listener only
  pid_t tid = 0;         // a thread, as our pid namespace numbers it; 0: we can not see it
  int number = -1;       // of the system call, by `arch`
  std::uint32_t arch = 0;
  std::uint64_t instruction = 0;
  std::array<std::uint64_t, 6> arguments{};
};

/// What the task gets.
struct Answer {
  enum class Kind : std::uint8_t {
    value,    // the call returns `number`
    error,    // it fails with errno `number`
    resume,   // the kernel does the call as it stands
    silence,  // nothing is to be sent: the task is gone, or the call has been done by injection
  };
  Kind kind = Kind::resume;
  std::int64_t number = 0;
  static Answer value(std::int64_t result) { return {Kind::value, result}; }
  static Answer fail(int error) { return {Kind::error, error}; }
  static Answer resume() { return {Kind::resume, 0}; }
  static Answer silence() { return {Kind::silence, 0}; }
  friend bool operator==(const Answer&, const Answer&) = default;
};

}  // namespace seccomp
