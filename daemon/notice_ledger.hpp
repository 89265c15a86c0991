// Owns: the ledger of one listener: a memfd that tells a successor whose it is and which calls are
// under way. Called by: Supervision, and the Listener through NoticeLog. Never: waits, or is half
// written: an entry counts when its mark says so, and that is the last store.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "seccomp/supervisor.hpp"

namespace serving {

class NoticeLedger final : public seccomp::NoticeLog {
 public:
  static base::Checked<std::unique_ptr<NoticeLedger>> create(const seccomp::ContainerInfo& info);
  /// What a daemon of this build or another has left; refused when it is of another version.
  static base::Checked<std::unique_ptr<NoticeLedger>> adopt(base::Fd memory);
  ~NoticeLedger() override;
  NoticeLedger(const NoticeLedger&) = delete;
  NoticeLedger& operator=(const NoticeLedger&) = delete;

  int fd() const { return memory_.get(); }
  base::Checked<seccomp::ContainerInfo> info() const;
  seccomp::Unfinished unfinished() const;

  void origin(const seccomp::Origin& origin) override;
  std::span<std::uint64_t> receiving() override;
  void begin(const seccomp::Notice& notice) override;
  void end(std::uint64_t id) override;
  void begin(const seccomp::Injected& injected) override;
  void end_injection(pid_t tid) override;

 private:
  struct Pages;
  explicit NoticeLedger(base::Fd memory) : memory_(std::move(memory)) {}
  base::Checked<base::Unit> map();

  base::Fd memory_;
  Pages* pages_ = nullptr;
};

}  // namespace serving
