// old_kernel PROGRAM ARG...: runs a program as if the kernel were that of Debian 12 (6.1): what
// came later answers ENOSYS, so that our other way of doing it is what the tests see.
#include <seccomp.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace {
// cachestat 6.5, fchmodat2 6.6, the four *xattrat 6.13. libseccomp of Debian 12 has no names for
// them.
constexpr int kLater[] = {451, 452, 463, 464, 465, 466};
}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: old_kernel PROGRAM ARG...\n");
    return 2;
  }
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  for (int number : kLater)
    if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), number, 0) != 0) return 2;
  if (seccomp_load(filter) != 0) {
    std::perror("old_kernel: seccomp_load");
    return 2;
  }
  execv(argv[1], argv + 1);
  std::perror(argv[1]);
  return 2;
}
