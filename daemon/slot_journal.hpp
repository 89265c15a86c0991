// Owns: the file in which the processes of one user agree on live slots, one a line.
// Called by: daemon/server, through identity::SharedSlots. Never: waits long for another process,
// or believes a line that LiveSlots would not have assigned: what does not fit is passed over.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/fd.hpp"
#include "identity/live_slots.hpp"

namespace serving {

/// To serve requests: waits 10 ms at most for another process that assigns. To plan: 2 s. To look:
/// as to plan, and never begins the journal anew.
enum class SlotUse : std::uint8_t { serve, plan, look };

class SlotJournal final : public identity::SharedSlots {
 public:
  /// `kind`: "uid" or "gid". `pool`: text that tells pools apart; each has a file of its own in
  /// $XDG_RUNTIME_DIR/usernetes-identity (mode 0700). Nothing where that directory is not ours
  /// alone: slots are then agreed on within this process only.
  /// What is in it stays for the next user, so that a container which outlives its mounts keeps its
  /// ids; it begins anew when nobody uses it and half of `slots` (all that can be given) are gone.
  static std::unique_ptr<SlotJournal> open(const std::string& kind, const std::string& pool,
                                           std::size_t slots, SlotUse use = SlotUse::serve);

  /// Told of each journal's lock, with a name for it: the assignments stay as long as anybody has
  /// it, be it somebody who keeps it for a successor of this process.
  static inline std::function<void(const std::string& name, int lock)> on_open;

  void begin(identity::LiveSlots& slots) override;
  void end(identity::Id true_id, identity::Id slot) override;

 private:
  SlotJournal(base::Fd file, base::Fd users) : file_(std::move(file)), users_(std::move(users)) {}
  base::Fd file_;
  base::Fd users_;  // holds a shared lock: as long as anybody has one, the assignments stay
  off_t read_to_ = 0;
  bool locked_ = false;
  bool patient_ = false;
};

}  // namespace serving
