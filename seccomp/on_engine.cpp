#include "seccomp/on_engine.hpp"

namespace seccomp {

ring::Task<std::optional<Answer>> engine_chown(Call) {
  co_return std::nullopt;
}

ring::Task<std::optional<Answer>> engine_stat(Call) {
  co_return std::nullopt;
}

}  // namespace seccomp
