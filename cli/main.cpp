// Owns: nothing. Called by: the kernel. Never: decides anything; cli/run.cpp does.
#include "cli/run.hpp"

int main(int argc, char** argv) {
  return cli::run(argc, argv);
}
