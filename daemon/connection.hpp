// Owns: one peer of the control socket: its bytes, its descriptors, its one request under way.
// Called by: daemon/control. Never: blocks; lets a peer make us keep more than its limits; sends an
// answer that nobody asked for.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "daemon/acceptor.hpp"
#include "daemon/protocol.hpp"
#include "daemon/verbs.hpp"
#include "ring/reactor.hpp"

namespace serving {

class Connection : public Guest, public std::enable_shared_from_this<Connection> {
 public:
  Connection(Control& control, base::Fd socket, pid_t peer)
      : control_(control), socket_(std::move(socket)), peer_(peer) {}
  /// Begins to listen to the peer. Apart from the constructor, since it needs its own shared_ptr.
  void start();
  /// Ends it, whatever is under way: the request goes on, its answer goes nowhere.
  void hang_up();
  void check_patience(std::uint64_t now, bool crowded) override;

 private:
  void on_ready(int events);
  bool receive();
  void serve_lines();
  void serve(std::string_view line);
  void run(const Verb& verb, std::unique_ptr<Call> call);
  static ring::Task<void> run_later(std::shared_ptr<Connection> self, const Verb* verb,
                                    std::unique_ptr<Call> call);
  void answer(const Answered& answer, std::string_view code);
  void refuse(Fault fault, const std::string& message, std::string_view code = "EINVAL");
  void flush();

  Control& control_;
  base::Fd socket_;
  pid_t peer_;
  ring::Watch watch_;
  LineBuffer in_{kRequestLimit};
  std::vector<base::Fd> fds_;
  std::string out_;
  std::uint64_t since_ = 0;  // the second in which what we wait for began
  bool busy_ = false;        // a request is under way
  bool ending_ = false;      // nothing more is read; what is in out_ still goes
  bool closed_ = false;
};

}  // namespace serving
