// Owns: the file in which the processes of one user agree on live slots, one a line.
// Called by: daemon/server, through identity::SharedSlots. Never: waits long for another process,
// or believes a line that LiveSlots would not have assigned: what does not fit is passed over.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "base/fd.hpp"
#include "identity/live_slots.hpp"

namespace serving {

class SlotJournal final : public identity::SharedSlots {
 public:
  /// `kind`: "uid" or "gid". `pool`: text that tells pools apart; each has a file of its own in
  /// $XDG_RUNTIME_DIR/usernetes-identity (mode 0700). Nothing where that directory is not ours
  /// alone: slots are then agreed on within this process only.
  static std::unique_ptr<SlotJournal> open(const std::string& kind, const std::string& pool);

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
};

}  // namespace serving
