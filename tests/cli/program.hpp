// Owns: running the program as a user's shell does. Called by: tests/cli. Never: waits longer than
// a test may.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

struct Ended {
  int code;  // 128 + signal if it did not exit
  std::string out, err;
};

/// Runs the built program with this environment and nothing else of ours; kills it after 20 s.
Ended run_program(const std::vector<std::string>& words,
                  const std::vector<std::string>& environment);
/// The same for another program, found by PATH.
Ended run_command(const std::vector<std::string>& words,
                  const std::vector<std::string>& environment);

class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};
