// Owns: operations of which each begins when the one before it is done: one kernel worker does them
// one behind the other, so that several cost one handover. Called by: seccomp. Never: goes on
// behind a step that failed, or that has moved less than it was to.
#pragma once
#include <array>
#include <cerrno>
#include <coroutine>

#include "ring/reactor.hpp"

namespace ring {

/// A place among the ring's own files, for one that a chain opens and reads and nobody else sees.
/// What is in it stays there until another file comes.
class FileSlot {
 public:
  explicit FileSlot(Reactor& reactor) : reactor_(reactor), number_(reactor.take_file_slot()) {}
  ~FileSlot() {
    if (number_ >= 0) reactor_.give_file_slot(number_);
  }
  FileSlot(const FileSlot&) = delete;
  FileSlot& operator=(const FileSlot&) = delete;
  /// None is free, or the kernel is older than Linux 5.19.
  bool valid() const { return number_ >= 0; }
  /// Makes an openat2(2), which must not have O_CLOEXEC, open into it.
  void receive(Op& op) const { op.file_slot = static_cast<std::uint32_t>(number_) + 1; }
  /// Makes an operation use the file.
  void use(Op& op) const {
    op.fd = number_;
    op.flags |= IOSQE_FIXED_FILE;
  }

 private:
  Reactor& reactor_;
  int number_;
};

class Chain {
 public:
  explicit Chain(Reactor& reactor) : reactor_(reactor) {}
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  static constexpr unsigned kMost = 4;
  /// Its number. What the operation points to must stay until wait() is over.
  unsigned add(const Op& op) {
    ops_[count_] = op;
    return count_++;
  }
  /// Starts it and waits for all: `co_await chain.wait()`, once.
  struct Wait {
    Chain& chain;
    bool await_ready() const noexcept { return chain.count_ == 0; }
    void await_suspend(std::coroutine_handle<> waiter) const { chain.start(waiter); }
    void await_resume() const noexcept {}
  };
  Wait wait() { return Wait{*this}; }
  /// Of the step that was the last, >= 0 or -errno. Of those before it 0: they have done what they
  /// were to do; of those behind it -ECANCELED.
  int result(unsigned number) const {
    return number == last_ ? result_ : number < last_ ? 0 : -ECANCELED;
  }

 private:
  struct Step final : Completion {
    Chain* chain = nullptr;
    void complete(int got, bool) override {
      chain->last_ = static_cast<unsigned>(this - chain->steps_.data());
      chain->result_ = got;
      chain->waiter_.resume();
    }
  };
  // One completion for all: whoever has done his part says nothing, and whoever has not silences
  // those behind him (IOSQE_CQE_SKIP_SUCCESS of Linux 5.17; FileSlots are of 5.19).
  void start(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    reactor_.reserve(count_);
    for (unsigned i = 0; i < count_; ++i) {
      steps_[i].chain = this;
      if (i + 1 < count_) ops_[i].flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
      reactor_.start(ops_[i], &steps_[i]);
    }
  }
  Reactor& reactor_;
  std::array<Op, kMost> ops_{};
  std::array<Step, kMost> steps_{};
  unsigned count_ = 0, last_ = 0;
  int result_ = -ECANCELED;
  std::coroutine_handle<> waiter_;
};

}  // namespace ring
