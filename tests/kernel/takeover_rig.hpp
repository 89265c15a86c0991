// Owns: a mount whose server is killed again and again: the descriptors that outlive it, a
// supervisor process that starts its successors, a memory in which both tell what they did.
// Called by: takeover_test. Never: lets a test hang: after its time everything is ended.
#pragma once
#include <sys/types.h>

#include <atomic>
#include <functional>
#include <map>
#include <string>

#include "base/fd.hpp"
#include "fusefs/layer_fds.hpp"
#include "fusefs/ledger.hpp"
#include "tests/kernel/fixture.hpp"

namespace kernel_test {

/// Seen by the test, the supervisor and every server.
struct Shared {
  // A server dies when it passes this point of this operation for the (skip + 1)th time.
  std::atomic<int> armed{0}, point{0}, opcode{0}, skip{0};
  std::atomic<int> kill_after_us{0};  // random, up to so long after it began to serve; 0: not
  std::atomic<int> hide_resend{0};    // as a kernel before 6.9
  std::atomic<int> deaths{0}, serving{0}, broken{0}, server{0};
  std::atomic<long> nodes{0}, handles{0}, kept{0}, lost{0}, resent{0}, done{0};
  std::atomic<long> longest_stall_us{0};
};

class TakeoverMount {
 public:
  /// `prepare` fills the lower directory before the mount. `asked`: the servers lack
  /// CAP_DAC_OVERRIDE, and so the kernel asks them for each open.
  explicit TakeoverMount(const std::function<void(const std::string& lower)>& prepare = {},
                         int seconds = 120, const std::string& whiteout = "device",
                         bool asked = false);
  ~TakeoverMount();
  TakeoverMount(const TakeoverMount&) = delete;
  TakeoverMount& operator=(const TakeoverMount&) = delete;

  std::string merged() const { return tree_.path() + "/merged"; }
  std::string at(const std::string& name) const { return merged() + "/" + name; }
  std::string lower() const { return tree_.path() + "/lower"; }
  std::string upper() const { return tree_.path() + "/upper"; }
  Shared& shared() { return *shared_; }
  /// The next server to pass this point of this operation dies there.
  void die_at(fusefs::Point point, std::uint32_t opcode, int skip = 0);
  /// Kills the server now, and waits for its successor.
  void kill_now();
  /// Unmounts; the supervisor's exit status.
  int end();

 private:
  [[noreturn]] void supervise(int seconds);
  [[noreturn]] void serve(bool first);
  void arm(fusefs::Ledger& ledger);
  int watch_server(pid_t server, long long until_us);
  void take_messages();
  void send_kept(char what, const std::string& name, int fd);

  TempTree tree_;
  Shared* shared_ = nullptr;
  std::string whiteout_;
  bool asked_;
  fusefs::LayerPaths paths_;
  fusefs::LayerFds layers_;
  base::Fd device_, ledger_fd_, keep_in_, keep_out_, order_in_, order_out_;
  std::unique_ptr<fusefs::Ledger> fresh_;
  std::map<std::string, base::Fd> kept_;
  pid_t supervisor_ = -1;
};

}  // namespace kernel_test
