// Owns: work in a process of its own, for what can not be taken back: ids, namespaces, roots.
// Called by: the tests of tests/daemon. Never: leaves the child behind.
#pragma once
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "base/fd.hpp"
#include "base/io.hpp"

namespace daemon_test {

/// Runs `body` in a child; its text is the result.
inline std::string in_child(const std::function<std::string()>& body) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  base::Fd out(ends[0]), in(ends[1]);
  pid_t child = ::fork();
  if (child == 0) {
    (void)!base::write_all(in.get(), body());
    ::_exit(0);
  }
  in.reset();
  std::string text = base::read_all(out.get(), 1 << 20).value_or("");
  ::waitpid(child, nullptr, 0);
  return text;
}

}  // namespace daemon_test
