// Owns: a process that answers on a control socket whatever a test wants. Called by: tests/cli.
// Never: outlives a test. It speaks the real protocol (daemon/protocol); what a real daemon answers
// is tested in tests/daemon.
#pragma once
#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>

#include "daemon/protocol.hpp"

class FakeDaemon {
 public:
  /// Listens in `directory`. A verb without an answer is refused; after those in `last` it ends.
  FakeDaemon(const std::filesystem::path& directory, std::map<std::string, serving::Json> answers,
             const std::string& last = "");
  ~FakeDaemon();
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;
  /// The last request that was not hello.
  serving::Json asked() const;

 private:
  [[noreturn]] void serve(int listening, const std::map<std::string, serving::Json>& answers,
                          const std::string& last);
  std::filesystem::path noted_;
  pid_t pid_ = -1;
};
