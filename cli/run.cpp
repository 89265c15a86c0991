#include "cli/run.hpp"

#include <string>

#include "cli/mount_program.hpp"

namespace cli {

int run(int argc, const char* const* argv) {
  std::string program = argc > 0 ? argv[0] : "usernetes-identity";
  program = program.substr(program.rfind('/') + 1);
  std::span<const char* const> arguments(argv + (argc > 0 ? 1 : 0),
                                         static_cast<std::size_t>(argc > 0 ? argc - 1 : 0));
  return mount_program(program, arguments);
}

}  // namespace cli
