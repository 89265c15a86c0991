// Owns: a pool namespace with a Supervisor in it, and a task below its filter. Called by:
// on_*_test.cpp. Never: leaves a process; whoever takes longer than ten seconds is killed.
#pragma once
#include <gtest/gtest.h>
#include <sys/types.h>

#include <cerrno>
#include <functional>
#include <string>
#include <type_traits>

#include "seccomp/container.hpp"
#include "seccomp/device_source.hpp"

namespace supervised {

struct Options {
  seccomp::Mode mode = seccomp::Mode::slot;  // map: in a nested namespace with aliases
  seccomp::Profile profile = seccomp::Profile::full;
  bool killable = true;
  unsigned last_slot = 1998;  // of the window, which begins with 1000
  seccomp::DeviceSource* devices = nullptr;
  std::function<void()> before{};  // by the task, as root of the pool without a filter
};

/// What the task says. It ends with the first `problem` if that is fatal.
class Task {
 public:
  explicit Task(int pipe) : pipe_(pipe) {}
  /// Notes a problem unless the two are the same.
  template <class A, class B>
  void same(const std::string& what, const A& expected, const B& got) {
    if (!(expected == got)) problem(what + ": expected " + text(expected) + ", got " + text(got));
  }
  void is_true(const std::string& what, bool good) {
    if (!good) problem(what + ": no (" + std::to_string(errno) + ")");
  }
  void problem(const std::string& line);

 private:
  static std::string text(const std::string& value) { return '"' + value + '"'; }
  template <class T>
  static std::string text(const T& value) {
    if constexpr (std::is_arithmetic_v<T>) {
      return std::to_string(value);
    } else {
      std::string all;
      for (auto& one : value) all += (all.empty() ? "[" : " ") + std::to_string(one);
      return all.empty() ? "[]" : all + "]";
    }
  }
  int pipe_;
};

/// Runs `body` as a task below the filter, as root of the container. Its problems, one a line; ""
/// is good. Once in a test, and first of all: `body` runs in a process of its own that comes here
/// anew.
std::string run(const Options& setup, const std::function<void(Task&)>& body);

/// Runs `body` in a child of the calling task, which may become anybody there.
void in_child(Task& task, const std::function<void()>& body);

/// The thread's ids as the kernel has them, through the pool's eyes: "real effective saved fs" of
/// a line of /proc/thread-self/status ("Uid", "Gid").
std::string kernel_ids(const std::string& line);

/// A test in both modes, with and without WAIT_KILLABLE_RECV.
struct Case {
  seccomp::Mode mode;
  bool killable;
};
class Everywhere : public testing::TestWithParam<Case> {
 protected:
  Options options(seccomp::Profile profile) const {
    return {.mode = GetParam().mode, .profile = profile, .killable = GetParam().killable};
  }
};
inline auto everywhere() {
  using seccomp::Mode;
  return testing::Values(Case{Mode::slot, true}, Case{Mode::slot, false}, Case{Mode::map, true},
                         Case{Mode::map, false});
}
inline std::string name_of(const testing::TestParamInfo<Case>& one) {
  return std::string(one.param.mode == seccomp::Mode::slot ? "slot" : "map") +
         (one.param.killable ? "Killable" : "");
}

}  // namespace supervised
