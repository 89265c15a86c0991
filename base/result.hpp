// Owns: the two ways in which a call reports failure. Called by: everyone. Never: throws.
//   Result<T>   handlers and system calls: a value or an Errno (positive, <errno.h>)
//   Checked<T>  what a user typed or configured: a value or a sentence which names file, line or id
// An Errno is negated once, in the FUSE reply writer.
#pragma once
#include <cerrno>
#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace base {

struct [[nodiscard]] Errno {
  int value = 0;
  friend bool operator==(Errno, Errno) = default;
};

struct [[nodiscard]] Failure {
  std::string message;
};

struct Unit {};

template <class T = Unit>
using Result = tl::expected<T, Errno>;
template <class T = Unit>
using Checked = tl::expected<T, Failure>;

inline tl::unexpected<Errno> fail(int errno_value) {
  return tl::unexpected<Errno>(Errno{errno_value});
}
/// The errno that the system call just made has left.
inline tl::unexpected<Errno> fail_errno() {
  return fail(errno);
}
inline tl::unexpected<Failure> refuse(std::string message) {
  return tl::unexpected<Failure>(Failure{std::move(message)});
}
/// What a system call returned, as a Result: rc < 0 means errno holds the reason.
inline Result<Unit> check(long rc) {
  if (rc < 0) return fail_errno();
  return Unit{};
}

}  // namespace base

// TRY(name, expr): declares `name` as the value, or returns the error to the caller.
// TRY_VOID(expr): the same for a Result<Unit>. CO_TRY*: the same inside a coroutine.
#define UNI_CAT2(a, b) a##b
#define UNI_CAT(a, b) UNI_CAT2(a, b)
#define UNI_TRY(ret, tmp, name, ...)                         \
  auto tmp = (__VA_ARGS__);                                  \
  if (!tmp) ret tl::make_unexpected(std::move(tmp.error())); \
  auto name = std::move(*tmp)
#define UNI_TRY_VOID(ret, tmp, ...) \
  if (auto tmp = (__VA_ARGS__); !tmp) ret tl::make_unexpected(std::move(tmp.error()))
#define TRY(name, ...) UNI_TRY(return, UNI_CAT(try_, __LINE__), name, __VA_ARGS__)
#define TRY_VOID(...) UNI_TRY_VOID(return, UNI_CAT(try_, __LINE__), __VA_ARGS__)
#define CO_TRY(name, ...) UNI_TRY(co_return, UNI_CAT(try_, __LINE__), name, __VA_ARGS__)
#define CO_TRY_VOID(...) UNI_TRY_VOID(co_return, UNI_CAT(try_, __LINE__), __VA_ARGS__)
