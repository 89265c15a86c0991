// Owns: exactly one file descriptor. Called by: everyone who holds a descriptor longer than one
// call. Never: hands out ownership as an int, or leaves closing to somebody else.
#pragma once
#include <unistd.h>

#include <utility>

namespace base {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int raw) : raw_(raw) {}
  Fd(Fd&& other) noexcept : raw_(std::exchange(other.raw_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~Fd() {
    if (raw_ >= 0) ::close(raw_);
  }
  /// The descriptor, or -1 when this is empty. Borrowed: valid as long as this object.
  int get() const { return raw_; }
  bool valid() const { return raw_ >= 0; }
  /// Closes now. close(2) errors are of no use here: what must reach the disk is fsynced before.
  void reset() { Fd dead(std::move(*this)); }

 private:
  int raw_ = -1;
};

}  // namespace base
