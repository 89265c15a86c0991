// The loops whose time run.py compares: one loop a call, the seconds it took on stdout.
//   load create|stat|unlink|open|copyup DIR COUNT     files DIR/f0 ... in order
//   load readdir DIR ROUNDS                           getdents of a whole directory
//   load write|read|randread FILE BLOCK COUNT         write makes the file anew and closes it
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/fd.hpp"

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& what) {
  std::perror(what.c_str());
  std::exit(1);
}

base::Fd open_or_fail(const std::string& path, int flags) {
  base::Fd fd(open(path.c_str(), flags | O_CLOEXEC, 0644));
  if (!fd.valid()) fail(path);
  return fd;
}

std::vector<std::string> file_names(const std::string& dir, long count) {
  std::vector<std::string> names;
  for (long i = 0; i < count; ++i) names.push_back(dir + "/f" + std::to_string(i));
  return names;
}

void for_each_file(const std::string& loop, const std::vector<std::string>& names) {
  const std::map<std::string, std::function<int(const char*)>> calls = {
      {"create", [](const char* path) { return close(creat(path, 0644)); }},
      {"stat",
       [](const char* path) {
         struct stat st = {};
         return lstat(path, &st);
       }},
      {"unlink", [](const char* path) { return unlink(path); }},
      {"open", [](const char* path) { return close(open(path, O_RDONLY | O_CLOEXEC)); }},
      {"copyup", [](const char* path) { return chmod(path, 0600); }},
  };
  const auto call = calls.find(loop);
  if (call == calls.end()) fail("unknown loop " + loop);
  for (const auto& name : names) {
    if (call->second(name.c_str()) != 0) fail(name);
  }
}

void list(const std::string& dir, long rounds) {
  for (long i = 0; i < rounds; ++i) {
    DIR* stream = opendir(dir.c_str());
    if (stream == nullptr) fail(dir);
    while (readdir(stream) != nullptr) {
    }
    closedir(stream);
  }
}

void transfer(const std::string& loop, const std::string& file, long block, long count) {
  std::vector<char> bytes(static_cast<size_t>(block), 'x');
  std::mt19937_64 random(7);
  const bool writes = loop == "write";
  base::Fd fd = open_or_fail(file, writes ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY);
  for (long i = 0; i < count; ++i) {
    ssize_t done = 0;
    if (writes) {
      done = write(fd.get(), bytes.data(), bytes.size());
    } else if (loop == "read") {
      done = read(fd.get(), bytes.data(), bytes.size());
    } else {
      const auto at = static_cast<off_t>(random() % static_cast<unsigned long>(count));
      done = pread(fd.get(), bytes.data(), bytes.size(), at * block);
    }
    if (done != block) fail(file);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) fail("usage: load LOOP PATH NUMBERS");
  const std::string loop = argv[1];
  const std::string path = argv[2];
  const long number = std::atol(argv[3]);
  const auto names =
      loop == "readdir" || argc > 4 ? std::vector<std::string>() : file_names(path, number);
  const auto start = Clock::now();
  if (loop == "readdir") {
    list(path, number);
  } else if (argc > 4) {
    transfer(loop, path, number, std::atol(argv[4]));
  } else {
    for_each_file(loop, names);
  }
  const std::chrono::duration<double> taken = Clock::now() - start;
  std::printf("%.9f\n", taken.count());
  return 0;
}
